/**
 * Several hook modules acting as one, in their order, compiled at start. What each
 * kind of hook means is in `kinds.ts`; every method here fails closed, with a
 * SyncError that is fit to be sent.
 */

import type { WebSocket } from 'ws';
import type { ApplyResult, ChangeSet } from '../wire/types.ts';
import { readIdentity, readPermission, readValidation } from './answers.ts';
import { createAsker, type HookChainOptions, type Invoke, type Question } from './asker.ts';
import { type HookName, type HookOfKind, recordByHook } from './kinds.ts';
import { createNotifier } from './notifier.ts';
import type {
  AuthContext,
  ClientIdentity,
  CoordinatorHooks,
  HookCall,
  LoadedHooks,
  SyncOperation,
  ValidationResult,
} from './types.ts';

export type { HookChainOptions } from './asker.ts';
export type { HookOutcome } from './verdict.ts';

/** What a transport knows of who asks; the chain adds the signal. */
export type AuthRequest = Omit<AuthContext, 'signal'>;

/**
 * The last `signal` of a method is the caller's: aborted, it gives the call up. All
 * methods are safe to call without a hook of their kind; `has` saves the work before.
 */
export interface HookChain {
  readonly has: Readonly<Record<HookName, boolean>>;
  /** Who it is, or `undefined` if every module passed. */
  authenticate(request: AuthRequest, signal?: AbortSignal): Promise<ClientIdentity | undefined>;
  /** Rejects with NOT_AUTHORIZED unless every module says `true`. */
  authorize(client: ClientIdentity, operation: SyncOperation, signal?: AbortSignal): Promise<void>;
  /** What the modules let through, in an array of its own, and all that they rejected. */
  beforeApply(
    client: ClientIdentity,
    changes: readonly ChangeSet[],
    signal?: AbortSignal,
  ): Promise<ValidationResult>;
  /** Starts telling and returns; never throws. */
  afterApply(client: ClientIdentity, changes: readonly ChangeSet[], result: ApplyResult): void;
  /** Rejects with NOT_AUTHORIZED unless every module says `true`. */
  clientConnect(client: ClientIdentity, socket: WebSocket, signal?: AbortSignal): Promise<void>;
  /** Starts telling and returns; never throws. */
  clientDisconnect(client: ClientIdentity): void;
  /** Waits for the notify hooks that run; after the deadline gives up those that are left, for good. */
  drain(deadlineMs: number): Promise<void>;
}

export function createHookChain(
  modules: readonly LoadedHooks[],
  options: HookChainOptions,
): HookChain {
  const modulesByHook = recordByHook((hook) =>
    modules.filter(({ hooks }) => hooks[hook] !== undefined),
  );
  const ask = createAsker(options);
  const notifier = createNotifier(ask);

  async function answerOf<T>(question: Question<T>, module: LoadedHooks): Promise<T> {
    const verdict = await ask(question, module);
    if (verdict.outcome !== 'ok') throw verdict.error;
    return verdict.value;
  }

  async function first<T>(question: Question<T> & { hook: HookOfKind<'first'> }) {
    for (const module of modulesByHook[question.hook]) {
      const answer = await answerOf(question, module);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  async function all(hook: HookOfKind<'all'>, invoke: Invoke, signal?: AbortSignal): Promise<void> {
    const question = { hook, invoke, read: readPermission, signals: [options.signal, signal] };
    for (const module of modulesByHook[hook]) await answerOf(question, module);
  }

  async function pipeline(
    hook: HookOfKind<'pipeline'>,
    changes: readonly ChangeSet[],
    invoke: (hooks: CoordinatorHooks, changes: ChangeSet[], call: HookCall) => unknown,
    signal?: AbortSignal,
  ): Promise<ValidationResult> {
    // Each array in turn is the next hook's to sort and cut, so the caller's is copied.
    const passed: ValidationResult = { approved: [...changes], rejected: [] };
    for (const module of modulesByHook[hook]) {
      if (passed.approved.length === 0) break;
      const question: Question<ValidationResult> = {
        hook,
        invoke: (hooks, call) => invoke(hooks, passed.approved, call),
        read: readValidation,
        signals: [options.signal, signal],
      };
      const { approved, rejected } = await answerOf(question, module);
      passed.approved = approved;
      passed.rejected = passed.rejected.concat(rejected);
    }
    return passed;
  }

  function notify(hook: HookOfKind<'notify'>, invoke: Invoke): void {
    for (const module of modulesByHook[hook]) notifier.tell(hook, invoke, module);
  }

  return {
    has: recordByHook((hook) => modulesByHook[hook].length > 0),
    drain: notifier.drain,

    authenticate(request, signal) {
      return first({
        hook: 'onAuthenticate',
        invoke: (hooks, call) => hooks.onAuthenticate?.({ ...request, signal: call.signal }),
        read: readIdentity,
        signals: [options.signal, signal],
        secret: request.token,
      });
    },

    authorize(client, operation, signal) {
      const invoke: Invoke = (hooks, call) => hooks.onAuthorize?.(client, { ...operation }, call);
      return all('onAuthorize', invoke, signal);
    },

    clientConnect(client, socket, signal) {
      const invoke: Invoke = (hooks, call) => hooks.onClientConnect?.(client, socket, call);
      return all('onClientConnect', invoke, signal);
    },

    beforeApply(client, changes, signal) {
      return pipeline(
        'onBeforeApplyChanges',
        changes,
        (hooks, input, call) => hooks.onBeforeApplyChanges?.(client, input, call),
        signal,
      );
    },

    afterApply(client, changes, result) {
      // The caller may send the result while a hook still has it: each gets its own.
      notify('onAfterApplyChanges', (hooks, call) =>
        hooks.onAfterApplyChanges?.(client, [...changes], structuredClone(result), call),
      );
    },

    clientDisconnect(client) {
      notify('onClientDisconnect', (hooks, call) => hooks.onClientDisconnect?.(client, call));
    },
  };
}
