/**
 * Several hook modules acting as one: the arguments of each hook, and how its answer is read. A
 * reload replaces the modules by another generation; an operation that has retained the chain
 * finishes with the generation with which it began. Every method fails closed, with a SyncError
 * that is safe to send.
 */

import type { WebSocket } from 'ws';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import { decodeLazily } from '../../wire/lazy-change-set.ts';
import { runByTurns } from '../../wire/steps.ts';
import { Call, CallAfterApply, CallBeforeApply } from '../call.ts';
import { originOf } from '../call-origin.ts';
import type { HookName } from '../kinds.ts';
import { readNothing } from '../reader.ts';
import type { HookAnswer } from '../refusal.ts';
import type { AuthContext, ClientIdentity, SyncOperation } from '../types.ts';
import { readAddedIdentity } from '../verdicts/added-identity.ts';
import { readIdentity, readPermission } from '../verdicts/answers.ts';
import { readFilterAnswer } from '../verdicts/filter-answer.ts';
import { Lineage } from '../verdicts/lineage.ts';
import { type Judged, type Left, readVerdict } from '../verdicts/verdict-on-changes.ts';
import { type ApplyOutcome, type BeforeApplyOptions, copyResult } from './apply-calls.ts';
import { HookInvoker, type HookInvokerOptions } from './hook-invoker.ts';
import type { Invocation, InvokedModule } from './hook-step.ts';
import { ShownSets } from './shown-sets.ts';

/** What a transport knows of a client; the chain adds the signal. */
export type AuthRequest = Omit<AuthContext, 'signal'>;

/**
 * The `signal` of a method is the caller's: aborting it gives the call up. `origin` is that of the
 * operation; default: that of the client's identity. All methods may be called without a hook of
 * their kind; `has` avoids the work before that.
 */
export class HookChain {
  #invoker: HookInvoker;
  /** The chain of this generation alone, for operations that retain it. */
  #retained: HookChain | undefined;
  readonly #drain: ((deadlineMs: number) => Promise<void>) | undefined;

  /** @param drain replaces the default, which ends only the running calls */
  constructor(invoker: HookInvoker, drain?: (deadlineMs: number) => Promise<void>) {
    this.#invoker = invoker;
    this.#drain = drain;
  }

  get has(): Readonly<Record<HookName, boolean>> {
    return this.#invoker.has;
  }

  /** Whether a module demands that batches are decided about and stored one after the other. */
  isSerialIn(databaseId: string): boolean {
    return this.#invoker.isSerialIn(databaseId);
  }

  /**
   * The client's identity, or `undefined` if every module passed.
   * @param answers gets the answers of modules that do not accept the client
   */
  authenticate(
    request: AuthRequest,
    signal?: AbortSignal,
    answers: HookAnswer[] = [],
  ): Promise<ClientIdentity | undefined> {
    const invocation: Invocation<ClientIdentity | undefined> = {
      run: ({ hooks }, call) => hooks.onAuthenticate?.({ ...request, signal: call.signal }),
      read: readIdentity,
      ...loggingIn(request, signal, answers),
    };
    return this.#invoker.first('onAuthenticate', invocation, answers);
  }

  /**
   * The identity with what the modules add to it; both frozen.
   * @param request the request for which it was accepted
   * @param answers gets the answers of modules that refuse it
   */
  authenticated(
    client: ClientIdentity,
    request: AuthRequest,
    signal?: AbortSignal,
    answers: HookAnswer[] = [],
  ): Promise<ClientIdentity> {
    return this.#invoker.pipeline('onAuthenticated', client, (known) => ({
      run: ({ hooks }, call) => hooks.onAuthenticated?.(known, call),
      read: (answer) => readAddedIdentity(known, answer),
      ...loggingIn(request, signal, answers),
    }));
  }

  /**
   * Rejects with NOT_AUTHORIZED unless every module says `true`.
   * @param answers gets the answer of the module that refuses it, instead of `forbidden`
   */
  authorize(
    client: ClientIdentity,
    operation: SyncOperation,
    signal?: AbortSignal,
    origin = originOf(client),
    answers?: HookAnswer[],
  ): Promise<void> {
    const run: Run = ({ hooks }, call) => hooks.onAuthorize?.(client, { ...operation }, call);
    const newCall = () => new Call(origin);
    const invocation = { run, read: readPermission, newCall, signal };
    return this.#invoker.all('onAuthorize', client, invocation, answers);
  }

  /** Notify hooks run on their own: resolves once their queues are short enough for more of a database. */
  notifiable(databaseId: string): Promise<void> {
    return this.#invoker.running.notifiable(databaseId);
  }

  /** The changes that the modules approve, and why they rejected the others. */
  async beforeApply(
    client: ClientIdentity,
    changes: readonly WireChangeSet[],
    options: BeforeApplyOptions = {},
  ): Promise<Judged> {
    const { signal, isOtherName = false, shown = new ShownSets() } = options;
    const { origin = originOf(client), reader = readNothing } = options;
    const newCall = () => new CallBeforeApply(origin, reader, isOtherName);
    const lineage = new Lineage();
    let left: Left = { approved: changes, rejected: [] };
    const run: Run<CallBeforeApply> = (module, call) =>
      module.hooks.onBeforeApplyChanges?.(client, shown.showFirst(module, left.approved), call);
    const then = (verdict: Left): Left => {
      const { approved, rejected } = verdict;
      if (approved === left.approved && rejected.length === 0) return left;
      if (approved !== left.approved) shown.forgetTouched();
      return { approved, rejected: left.rejected.concat(rejected) };
    };
    const read = (answer: unknown) => {
      const verdict = readVerdict(left.approved, answer, lineage);
      return verdict instanceof Promise ? verdict.then(then) : then(verdict);
    };
    const invocation = { run, read, newCall, signal };
    const judged = await this.#invoker.pipeline('onBeforeApplyChanges', left, (next) => {
      left = next;
      return left.approved.length === 0 ? undefined : invocation;
    });
    return { approved: judged.approved, rejected: judged.rejected, lineage };
  }

  /** Invokes the hooks without waiting for them; never throws. */
  afterApply(
    client: ClientIdentity,
    changes: readonly WireChangeSet[],
    {
      result,
      position,
      shown = new ShownSets(),
      outcomes = () => [],
      origin = originOf(client),
    }: ApplyOutcome,
  ): void {
    const run: Run<CallAfterApply> = (module, call) => {
      const sets = shown.show(module, changes);
      return module.hooks.onAfterApplyChanges?.(client, sets, copyResult(result), call);
    };
    const newCall = () => new CallAfterApply(origin, position, outcomes);
    this.#invoker.notify('onAfterApplyChanges', client, { run, read: () => undefined, newCall });
  }

  /** The changes that the modules let a client see. An unchanged change set is the same object. */
  beforeSend(
    client: ClientIdentity,
    changes: readonly WireChangeSet[],
    signal?: AbortSignal,
    origin = originOf(client),
  ): Promise<readonly WireChangeSet[]> {
    const newCall = () => new Call(origin);
    return this.#invoker.pipeline('onBeforeSendChanges', changes, (left) => {
      if (left.length === 0) return undefined;
      const run: Run = ({ hooks }, call) =>
        hooks.onBeforeSendChanges?.(client, left.map(decodeLazily), call);
      const read = (answer: unknown) => runByTurns(readFilterAnswer(left, answer));
      return { run, read, newCall, signal };
    });
  }

  /**
   * Clients with the same key see the same pushes; `undefined` if the hook has to be invoked for
   * this client.
   */
  viewKey(client: ClientIdentity): string | undefined {
    return this.#invoker.viewKey(client);
  }

  /**
   * Rejects with NOT_AUTHORIZED unless every module says `true`. Modules that were invoked before
   * the refusal are then notified that the client has gone.
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
      // A reload meanwhile has handed over all other clients already.
      if (visits !== this.#invoker.visits) this.takeOver(visits.handOver(client));
    } finally {
      running.release();
    }
  }

  /** Notifies the modules that know of the client that it has gone; never throws. */
  clientDisconnect(client: ClientIdentity): void {
    this.#invoker.visits.disconnect(client);
  }

  /** Notifies the modules of clients that are connected already, and later when they go. */
  takeOver(clients: readonly ClientIdentity[]): void {
    for (const client of clients) this.#invoker.visits.takeOver(client);
  }

  /** Forgets the connected clients. @returns them, for another chain to take over */
  handOver(): ClientIdentity[] {
    return this.#invoker.visits.handOver();
  }

  /** Replaces the generation of modules. The next one takes over the connected clients. */
  replace(next: HookInvoker): void {
    const clients = this.handOver();
    this.#invoker = next;
    this.#retained = undefined;
    this.takeOver(clients);
  }

  /**
   * For an operation of several calls: a chain of the current generation. Its modules are not
   * closed before `release`, up to the deadline of `drain`.
   */
  retain(): HookChain {
    this.#invoker.running.hold();
    this.#retained ??= new HookChain(this.#invoker);
    return this.#retained;
  }

  release(): void {
    this.#invoker.running.release();
  }

  /** Waits for all running calls, including notifications. */
  settled(): Promise<void> {
    return this.#invoker.running.settled();
  }

  /** Waits for running calls; after the deadline it gives up the remaining ones. */
  drain(deadlineMs: number): Promise<void> {
    return this.#drain?.(deadlineMs) ?? this.#invoker.running.drain(deadlineMs);
  }
}

/** A chain of modules that are never replaced. */
export function createHookChain(
  modules: readonly InvokedModule[],
  options: HookInvokerOptions,
): HookChain {
  return new HookChain(new HookInvoker(modules, options));
}

type Run<C extends Call = Call> = Invocation<unknown, C>['run'];

/**
 * Keeps the token out of logs, and collects the answers of refusing modules for the refusal log.
 */
function loggingIn(request: AuthRequest, signal: AbortSignal | undefined, answers: HookAnswer[]) {
  return {
    newCall: () => new Call(request),
    signal,
    secret: request.token,
    onRefusal: (answer: HookAnswer) => answers.push(answer),
  };
}
