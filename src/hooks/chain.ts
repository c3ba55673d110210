/**
 * Several hook modules acting as one, in their order, compiled at start. What each
 * kind of hook means is in `kinds.ts`; every method here fails closed, with a
 * SyncError that is fit to be sent.
 */

import type { WebSocket } from 'ws';
import type { Hlc } from '../clock/hlc.ts';
import type { SyncError } from '../errors.ts';
import { decodeLazily, originOf as setAsItCame } from '../wire/lazy-change-set.ts';
import type { WireChangeSet } from '../wire/schemas.ts';
import type { ApplyResult, ChangeSet } from '../wire/types.ts';
import { readAddedIdentity } from './added-identity.ts';
import { readIdentity, readPermission } from './answers.ts';
import { toAppliedCall } from './applied-call.ts';
import {
  type AskedModule,
  type AskerOptions,
  createAsker,
  type HookAnswer,
  type Invoke,
  PASSED,
  type Question,
} from './asker.ts';
import { type CallOrigin, originOf } from './call-origin.ts';
import { type HookName, type HookOfKind, recordByHook } from './kinds.ts';
import { narrow } from './narrow.ts';
import { type BatchReader, readNothing } from './reader.ts';
import { createRunningCalls } from './running-calls.ts';
import type {
  ApplyCall,
  AuthContext,
  ChangeOutcome,
  ClientIdentity,
  CoordinatorHooks,
  HookCall,
  SyncOperation,
  ValidationResult,
} from './types.ts';
import { verdictReader } from './verdict-on-changes.ts';

import { createViewKey } from './view-key.ts';
import { Visits } from './visits.ts';

export type { HookOutcome } from './verdict.ts';

export interface HookChainOptions extends AskerOptions {
  /**
   * Gives up the calls that clients wait for. Abort it when running operations must end, not
   * when the server merely begins to stop. Notify hooks don't heed it: `drain` ends those.
   */
  signal?: AbortSignal;
  /** So many notify calls may run before `pressure` says that it is enough. Default: no limit. */
  notifyCallsMax?: number;
  /** Told of every client that a module forbids what it wants. */
  forbidden?(client: ClientIdentity, hook: HookName, error: SyncError, answer: HookAnswer): void;
}

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
export interface HookChain {
  readonly has: Readonly<Record<HookName, boolean>>;
  /** Whether batches are to be judged and stored one after the other: a module has asked for it. */
  isSerialIn(databaseId: string): boolean;
  /**
   * Who it is, or `undefined` if every module passed.
   * @param answers takes up what the modules say that do not accept the client
   */
  authenticate(
    request: AuthRequest,
    signal?: AbortSignal,
    answers?: HookAnswer[],
  ): Promise<ClientIdentity | undefined>;
  /**
   * The identity with what the modules add to it; both frozen.
   * @param request that it was accepted for
   * @param answers takes up what the modules say that refuse it
   */
  authenticated(
    client: ClientIdentity,
    request: AuthRequest,
    signal?: AbortSignal,
    answers?: HookAnswer[],
  ): Promise<ClientIdentity>;
  /**
   * Rejects with NOT_AUTHORIZED unless every module says `true`.
   * @param answers takes up what the module says that refuses it, instead of `forbidden`
   */
  authorize(
    client: ClientIdentity,
    operation: SyncOperation,
    signal?: AbortSignal,
    origin?: CallOrigin,
    answers?: HookAnswer[],
  ): Promise<void>;
  /**
   * Wait for it, and ask again, before giving the notify hooks more to do for a database; `undefined` if
   * there is no need.
   */
  pressureOn(databaseId: string): Promise<void> | undefined;
  /** What the modules let through, in an array of its own, and all that they rejected. */
  beforeApply(
    client: ClientIdentity,
    changes: readonly ChangeSet[],
    options?: BeforeApplyOptions,
  ): Promise<ValidationResult>;
  /** Starts telling and returns; never throws. */
  afterApply(client: ClientIdentity, changes: readonly ChangeSet[], outcome: ApplyOutcome): void;
  /** What the modules let a client see: a change set itself where they left it as it was. */
  beforeSend(
    client: ClientIdentity,
    changes: readonly WireChangeSet[],
    signal?: AbortSignal,
    origin?: CallOrigin,
  ): Promise<readonly WireChangeSet[]>;
  /** Clients with one key see the same of pushes; `undefined` for one that is to be asked about. */
  viewKey(client: ClientIdentity): string | undefined;
  /**
   * Rejects with NOT_AUTHORIZED unless every module says `true`. Those that were asked are told then
   * that it has gone.
   */
  clientConnect(client: ClientIdentity, socket: WebSocket, signal?: AbortSignal): Promise<void>;
  /** Tells whoever knows that it was there. Starts telling and returns; never throws. */
  clientDisconnect(client: ClientIdentity): void;
  /** These clients are there already: tells the modules so, which are told of their going, too. */
  takeOver(clients: readonly ClientIdentity[]): void;
  /** Forgets who is there, or one of them, for another chain to take over. */
  handOver(client?: ClientIdentity): ClientIdentity[];
  /**
   * For an operation that asks several times: the chain in force at this moment, whose modules are not
   * closed before it has been released, up to the deadline of `drain`.
   */
  retain(): HookChain;
  release(): void;
  /** Waits for the calls that run, also those that nobody else waits for. */
  settled(): Promise<void>;
  /** Waits for the calls that run; after the deadline gives up those that are left, for good. */
  drain(deadlineMs: number): Promise<void>;
}

export function createHookChain(
  modules: readonly AskedModule[],
  options: HookChainOptions,
): HookChain {
  const modulesByHook = recordByHook((hook) =>
    modules.filter(({ hooks }) => hooks[hook] !== undefined),
  );
  const running = createRunningCalls(
    createAsker(options),
    options.notifyCallsMax ?? Number.POSITIVE_INFINITY,
  );

  /** Of the calls that somebody waits for. */
  const signalsWith = (signal: AbortSignal | undefined) => [options.signal, running.stop, signal];

  async function first<T>(
    question: Question<T> & { hook: HookOfKind<'first'> },
    answers: HookAnswer[],
  ) {
    for (const module of modulesByHook[question.hook]) {
      const answer = running.ask(question, module);
      const value = answer instanceof Promise ? await answer : answer;
      if (value !== undefined) return value;
      answers.push({ module: module.name, answer: PASSED });
    }
    return undefined;
  }

  async function all(
    hook: HookOfKind<'all'>,
    client: ClientIdentity,
    invoke: Invoke,
    signal?: AbortSignal,
    origin = originOf(client),
    answers?: HookAnswer[],
  ): Promise<void> {
    const question: Question<void> = {
      ...{ hook, invoke, read: readPermission, origin, signals: signalsWith(signal) },
      onRefusal: ({ outcome, error }, answer) => {
        if (answers !== undefined) answers.push(answer);
        else if (outcome === 'refused') options.forbidden?.(client, hook, error, answer);
      },
    };
    for (const module of modulesByHook[hook]) {
      const answer = running.ask(question, module);
      if (answer instanceof Promise) await answer;
    }
  }

  /** Each module makes the next state of the one before, until nothing is left to pass on. */
  async function pipeline<State>(
    hook: HookOfKind<'pipeline'>,
    initial: State,
    step: (state: State) => { invoke: Invoke; read: (answer: unknown) => State } | undefined,
    origin: CallOrigin,
    signal?: AbortSignal,
    more: Pick<Question<State>, 'secret' | 'onRefusal'> = {},
  ): Promise<State> {
    const signals = signalsWith(signal);
    let state = initial;
    for (const module of modulesByHook[hook]) {
      const next = step(state);
      if (next === undefined) break;
      const { invoke, read } = next;
      const answer = running.ask({ hook, invoke, read, origin, signals, ...more }, module);
      state = answer instanceof Promise ? await answer : answer;
    }
    return state;
  }

  function notify(
    hook: HookOfKind<'notify'>,
    client: ClientIdentity,
    invoke: Invoke,
    told: readonly AskedModule[] = modulesByHook[hook],
    origin = originOf(client),
  ): void {
    const { databaseId = '' } = client;
    const question = { hook, invoke, read: () => undefined, origin, signals: [running.stop] };
    for (const module of told) running.tell(question, module, databaseId);
  }

  function tellGone(client: ClientIdentity, told: readonly AskedModule[]): void {
    const invoke: Invoke = (hooks, call) => hooks.onClientDisconnect?.(client, call);
    notify('onClientDisconnect', client, invoke, told);
  }

  /** Those with `onClientDisconnect` up to the last one that was asked; a module without `onClientConnect` in its place. */
  function knowingAfter(asked: number): readonly AskedModule[] {
    const lastAsked = modulesByHook.onClientConnect[asked - 1];
    const reached = lastAsked === undefined ? [] : modules.slice(0, modules.indexOf(lastAsked) + 1);
    return reached.filter(({ hooks }) => hooks.onClientDisconnect !== undefined);
  }

  const visits = new Visits();
  const chain: HookChain = {
    has: recordByHook((hook) => modulesByHook[hook].length > 0),
    isSerialIn: (databaseId) =>
      modulesByHook.onBeforeApplyChanges.some(
        ({ isSerial, databases }) => isSerial && (databases?.includes(databaseId) ?? true),
      ),
    drain: running.drain,
    settled: running.settled,
    viewKey: createViewKey(modulesByHook.onBeforeSendChanges),
    pressureOn: running.pressureOn,
    release: running.release,
    retain() {
      running.hold();
      return chain;
    },

    authenticate(request, signal, answers = []) {
      const question: Question<ClientIdentity | undefined> & { hook: 'onAuthenticate' } = {
        hook: 'onAuthenticate',
        invoke: (hooks, call) => hooks.onAuthenticate?.({ ...request, signal: call.signal }),
        read: readIdentity,
        origin: request,
        signals: signalsWith(signal),
        secret: request.token,
        onRefusal: (_refusal, answer) => answers.push(answer),
      };
      return first(question, answers);
    },

    authenticated(client, request, signal, answers = []) {
      const step = (known: ClientIdentity) => ({
        invoke: (hooks: CoordinatorHooks, call: HookCall) => hooks.onAuthenticated?.(known, call),
        read: (answer: unknown) => readAddedIdentity(known, answer),
      });
      return pipeline('onAuthenticated', client, step, request, signal, {
        secret: request.token,
        onRefusal: (_refusal, answer) => answers.push(answer),
      });
    },

    authorize(client, operation, signal, origin, answers) {
      const invoke: Invoke = (hooks, call) => hooks.onAuthorize?.(client, { ...operation }, call);
      return all('onAuthorize', client, invoke, signal, origin, answers);
    },

    async clientConnect(client, socket, signal) {
      let asked = 0;
      const invoke: Invoke = (hooks, call) => {
        asked++;
        return hooks.onClientConnect?.(client, socket, call);
      };
      try {
        await all('onClientConnect', client, invoke, signal);
        visits.begin(client, modulesByHook.onClientDisconnect);
      } catch (error) {
        tellGone(client, knowingAfter(asked));
        throw error;
      }
    },

    beforeApply(client, changes, options = {}) {
      const { signal, origin = originOf(client), isOtherName, reader = readNothing } = options;
      const step = ({ approved, rejected }: ValidationResult) => {
        if (approved.length === 0) return undefined;
        const readVerdict = verdictReader(approved);
        const invoke: Invoke = (hooks, call) =>
          hooks.onBeforeApplyChanges?.(client, approved, toApplyCall(call, reader(), isOtherName));
        const read = (answer: unknown): ValidationResult => {
          const verdict = readVerdict(answer);
          return { approved: verdict.approved, rejected: rejected.concat(verdict.rejected) };
        };
        return { invoke, read };
      };
      // Each array in turn is the next hook's to sort and cut, so the caller's is copied.
      const initial = { approved: [...changes], rejected: [] };
      return pipeline('onBeforeApplyChanges', initial, step, origin, signal);
    },

    beforeSend(client, changes, signal, origin = originOf(client)) {
      const step = (left: readonly WireChangeSet[]) => {
        if (left.length === 0) return undefined;
        const { shown, read } = narrow(left);
        const invoke: Invoke = (hooks, call) => hooks.onBeforeSendChanges?.(client, shown, call);
        return { invoke, read };
      };
      return pipeline('onBeforeSendChanges', changes, step, origin, signal);
    },

    afterApply(client, changes, { result, position, outcomes = () => [], origin }) {
      let own: readonly ChangeSet[] | undefined = changes;
      // The caller may send the result while a hook still has it: each gets its own.
      const invoke: Invoke = (hooks, call) => {
        const sets = own ?? changes.map(anew);
        own = undefined;
        const appliedCall = toAppliedCall(call, position, outcomes);
        return hooks.onAfterApplyChanges?.(client, [...sets], copyResult(result), appliedCall);
      };
      notify('onAfterApplyChanges', client, invoke, undefined, origin);
    },

    clientDisconnect(client) {
      tellGone(client, visits.end(client));
    },

    takeOver(clients) {
      // Who is not told that they are there has never heard of them, unless it hears of goings only.
      const knowing = modulesByHook.onClientDisconnect.filter(
        ({ hooks }) => hooks.onClientHandover !== undefined || hooks.onClientConnect === undefined,
      );
      for (const client of clients) {
        visits.begin(client, knowing);
        notify('onClientHandover', client, (hooks, call) => hooks.onClientHandover?.(client, call));
      }
    },

    handOver: (client) => visits.leave(client),
  };
  return chain;
}

/** The change set as it came, however the one who had it before has changed it. */
function anew(changeSet: ChangeSet): ChangeSet {
  const origin = setAsItCame(changeSet);
  return origin === undefined ? structuredClone(changeSet) : decodeLazily(origin);
}

function toApplyCall(call: HookCall, read: BatchReader, isOtherName = false): ApplyCall {
  return Object.assign(call, isOtherName ? { read, isOtherName } : { read });
}

function copyResult(result: ApplyResult): ApplyResult {
  const { rejected } = result;
  return rejected === undefined
    ? { ...result }
    : { ...result, rejected: structuredClone(rejected) };
}
