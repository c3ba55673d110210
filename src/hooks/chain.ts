/**
 * Several hook modules acting as one: what each hook is invoked with, and what its answer is made of. Which
 * modules those are may change: a reload puts another generation in place, and an operation that has
 * retained the chain is finished by the generation it began with. Every method fails closed, with a
 * SyncError that is fit to be sent.
 */

import type { WebSocket } from 'ws';
import type { Hlc } from '../clock/hlc.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';
import type { ApplyResult, ChangeSet } from '../protocol/types.ts';
import { decodeLazily, originOf as setAsItCame } from '../wire/lazy-change-set.ts';
import { readAddedIdentity } from './added-identity.ts';
import { readIdentity, readPermission } from './answers.ts';
import { Call, CallAfterApply, CallBeforeApply } from './call.ts';
import { originOf } from './call-origin.ts';
import { readFilterAnswer } from './filter-answer.ts';
import { HookInvoker, type HookInvokerOptions } from './hook-invoker.ts';
import type { Invocation, InvokedModule } from './hook-step.ts';
import type { HookName } from './kinds.ts';
import { Lineage } from './lineage.ts';
import { type BatchReader, readNothing } from './reader.ts';
import type { HookAnswer } from './refusal.ts';
import type {
  AuthContext,
  CallOrigin,
  ChangeOutcome,
  ClientIdentity,
  SyncOperation,
} from './types.ts';
import { type Judged, verdictReader } from './verdict-on-changes.ts';

/** What a transport knows of who asks; the chain adds the signal. */
export type AuthRequest = Omit<AuthContext, 'signal'>;

/** What became of a batch. */
export interface ApplyOutcome {
  result: ApplyResult;
  /** See `AppliedCall`. */
  position?: Hlc | undefined;
  /** See `HookChain`. */
  origin?: CallOrigin;
  /** Makes what is in the `AppliedCall`, for each module anew. */
  outcomes?(): ChangeOutcome[];
}

export interface BeforeApplyOptions {
  signal?: AbortSignal | undefined;
  /** See `HookChain`. */
  origin?: CallOrigin;
  /** See `ApplyCall`. */
  isOtherName?: boolean;
  /** Makes the `read` of a call: each module has its own, with what it approves. Default: there is nothing. */
  reader?(): BatchReader;
}

/**
 * The `signal` of a method is the caller's: aborted, it gives the call up. `origin` is what
 * it is done for; default: what the client's identity was made for. All
 * methods are safe to call without a hook of their kind; `has` saves the work before.
 */
export class HookChain {
  #invoker: HookInvoker;
  readonly #drain: ((deadlineMs: number) => Promise<void>) | undefined;

  /** @param drain ends more than the calls that run */
  constructor(invoker: HookInvoker, drain?: (deadlineMs: number) => Promise<void>) {
    this.#invoker = invoker;
    this.#drain = drain;
  }

  get has(): Readonly<Record<HookName, boolean>> {
    return this.#invoker.has;
  }

  /** Whether batches are to be judged and stored one after the other: a module has asked for it. */
  isSerialIn(databaseId: string): boolean {
    return this.#invoker.isSerialIn(databaseId);
  }

  /**
   * Who it is, or `undefined` if every module passed.
   * @param answers takes up what the modules say that do not accept the client
   */
  authenticate(
    request: AuthRequest,
    signal?: AbortSignal,
    answers: HookAnswer[] = [],
  ): Promise<ClientIdentity | undefined> {
    const invocation: Invocation<ClientIdentity | undefined> = {
      run: (hooks, call) => hooks.onAuthenticate?.({ ...request, signal: call.signal }),
      read: readIdentity,
      ...loggingIn(request, signal, answers),
    };
    return this.#invoker.first('onAuthenticate', invocation, answers);
  }

  /**
   * The identity with what the modules add to it; both frozen.
   * @param request that it was accepted for
   * @param answers takes up what the modules say that refuse it
   */
  authenticated(
    client: ClientIdentity,
    request: AuthRequest,
    signal?: AbortSignal,
    answers: HookAnswer[] = [],
  ): Promise<ClientIdentity> {
    return this.#invoker.pipeline('onAuthenticated', client, (known) => ({
      run: (hooks, call) => hooks.onAuthenticated?.(known, call),
      read: (answer) => readAddedIdentity(known, answer),
      ...loggingIn(request, signal, answers),
    }));
  }

  /**
   * Rejects with NOT_AUTHORIZED unless every module says `true`.
   * @param answers takes up what the module says that refuses it, instead of `forbidden`
   */
  authorize(
    client: ClientIdentity,
    operation: SyncOperation,
    signal?: AbortSignal,
    origin = originOf(client),
    answers?: HookAnswer[],
  ): Promise<void> {
    const run: Run = (hooks, call) => hooks.onAuthorize?.(client, { ...operation }, call);
    const newCall = () => new Call(origin);
    const invocation = { run, read: readPermission, newCall, signal };
    return this.#invoker.all('onAuthorize', client, invocation, answers);
  }

  /**
   * Wait for it, and look again, before giving the notify hooks more to do for a database; `undefined` if
   * there is no need.
   */
  backpressureOn(databaseId: string): Promise<void> | undefined {
    return this.#invoker.running.backpressureOn(databaseId);
  }

  /** What the modules let through, in an array of its own, and why they rejected the rest. */
  beforeApply(
    client: ClientIdentity,
    changes: readonly ChangeSet[],
    options: BeforeApplyOptions = {},
  ): Promise<Judged> {
    const { signal, isOtherName = false } = options;
    const { origin = originOf(client), reader = readNothing } = options;
    const newCall = () => new CallBeforeApply(origin, reader(), isOtherName);
    // Each array in turn is the next hook's to sort and cut, so the caller's is copied.
    const lineage = new Lineage();
    const initial: Judged = { approved: [...changes], rejected: [], lineage };
    return this.#invoker.pipeline('onBeforeApplyChanges', initial, ({ approved, rejected }) => {
      if (approved.length === 0) return undefined;
      const readVerdict = verdictReader(approved, lineage);
      const run: Run<CallBeforeApply> = (hooks, call) =>
        hooks.onBeforeApplyChanges?.(client, approved, call);
      const read = (answer: unknown): Judged => {
        const verdict = readVerdict(answer);
        const said = rejected.length === 0 ? verdict.rejected : rejected.concat(verdict.rejected);
        return { approved: verdict.approved, rejected: said, lineage };
      };
      return { run, read, newCall, signal };
    });
  }

  /** Invokes the hooks without waiting for them; never throws. */
  afterApply(
    client: ClientIdentity,
    changes: readonly ChangeSet[],
    { result, position, outcomes = () => [], origin = originOf(client) }: ApplyOutcome,
  ): void {
    let own: readonly ChangeSet[] | undefined = changes;
    // The caller may send the result while a hook still has it: each gets its own.
    const run: Run<CallAfterApply> = (hooks, call) => {
      const sets = own ?? changes.map(anew);
      own = undefined;
      return hooks.onAfterApplyChanges?.(client, [...sets], copyResult(result), call);
    };
    const newCall = () => new CallAfterApply(origin, position, outcomes);
    this.#invoker.notify('onAfterApplyChanges', client, { run, read: () => undefined, newCall });
  }

  /** What the modules let a client see: a change set itself where they left it as it was. */
  beforeSend(
    client: ClientIdentity,
    changes: readonly WireChangeSet[],
    signal?: AbortSignal,
    origin = originOf(client),
  ): Promise<readonly WireChangeSet[]> {
    const newCall = () => new Call(origin);
    return this.#invoker.pipeline('onBeforeSendChanges', changes, (left) => {
      if (left.length === 0) return undefined;
      const { shown, read } = readFilterAnswer(left);
      const run: Run = (hooks, call) => hooks.onBeforeSendChanges?.(client, shown, call);
      return { run, read, newCall, signal };
    });
  }

  /** Clients with one key see the same of pushes; `undefined` for one that is to be asked about. */
  viewKey(client: ClientIdentity): string | undefined {
    return this.#invoker.viewKey(client);
  }

  /**
   * Rejects with NOT_AUTHORIZED unless every module says `true`. The modules that were
   * invoked are notified then that it has gone.
   */
  async clientConnect(
    client: ClientIdentity,
    socket: WebSocket,
    signal?: AbortSignal,
  ): Promise<void> {
    const { running, visits } = this.#invoker;
    running.hold();
    try {
      await visits.connect(client, socket, signal);
      // A reload that came meanwhile has handed over the others already.
      if (visits !== this.#invoker.visits) this.takeOver(visits.handOver(client));
    } finally {
      running.release();
    }
  }

  /** Notifies the modules that know that it was there; never throws. */
  clientDisconnect(client: ClientIdentity): void {
    this.#invoker.visits.disconnect(client);
  }

  /** These clients are there already: notifies the modules of it, and will of their going. */
  takeOver(clients: readonly ClientIdentity[]): void {
    for (const client of clients) this.#invoker.visits.takeOver(client);
  }

  /** Forgets who is there, for another chain to take over. */
  handOver(): ClientIdentity[] {
    return this.#invoker.visits.handOver();
  }

  /** From now on another generation is invoked, which takes over who is there. */
  replace(next: HookInvoker): void {
    const clients = this.handOver();
    this.#invoker = next;
    this.takeOver(clients);
  }

  /**
   * For an operation of several calls: the chain of the generation that is in place at this moment, whose
   * modules are not closed before it has been released, up to the deadline of `drain`.
   */
  retain(): HookChain {
    this.#invoker.running.hold();
    return new HookChain(this.#invoker);
  }

  release(): void {
    this.#invoker.running.release();
  }

  /** Waits for the calls that run, also those that no client waits for. */
  settled(): Promise<void> {
    return this.#invoker.running.settled();
  }

  /** Waits for the calls that run; after the deadline gives up those that are left, for good. */
  drain(deadlineMs: number): Promise<void> {
    return this.#drain?.(deadlineMs) ?? this.#invoker.running.drain(deadlineMs);
  }
}

/** The chain of modules that nothing will replace. */
export function createHookChain(
  modules: readonly InvokedModule[],
  options: HookInvokerOptions,
): HookChain {
  return new HookChain(new HookInvoker(modules, options));
}

type Run<C extends Call = Call> = Invocation<unknown, C>['run'];

/** The token must not be seen in a log; what the modules say that refuse is for the refusal log. */
function loggingIn(request: AuthRequest, signal: AbortSignal | undefined, answers: HookAnswer[]) {
  return {
    newCall: () => new Call(request),
    signal,
    secret: request.token,
    onRefusal: (answer: HookAnswer) => answers.push(answer),
  };
}

/** The change set as it came, however a hook that had it before has changed it. */
function anew(changeSet: ChangeSet): ChangeSet {
  const origin = setAsItCame(changeSet);
  return origin === undefined ? structuredClone(changeSet) : decodeLazily(origin);
}

function copyResult(result: ApplyResult): ApplyResult {
  const { rejected } = result;
  return rejected === undefined
    ? { ...result }
    : { ...result, rejected: structuredClone(rejected) };
}
