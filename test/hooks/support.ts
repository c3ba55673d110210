/** What the tests of the hooks share: a chain that remembers what it logged and counted. */

import { Registry } from 'prom-client';
import type { WebSocket } from 'ws';
import type { ApplyOutcome, BeforeApplyOptions } from '../../src/hooks/chain/apply-calls.ts';
import { type AuthRequest, createHookChain, type HookChain } from '../../src/hooks/chain/chain.ts';
import type { InvokedModule } from '../../src/hooks/chain/hook-step.ts';
import type { HookSurroundings } from '../../src/hooks/context.ts';
import type { HookDefinition } from '../../src/hooks/define-hooks.ts';
import type { HookName } from '../../src/hooks/kinds.ts';
import type { LoadedHooks } from '../../src/hooks/loading/loaded-hooks.ts';
import { loadHooks } from '../../src/hooks/loading/loader.ts';
import type { CoordinatorReader } from '../../src/hooks/reader.ts';
import type {
  ClientIdentity,
  CoordinatorHooks,
  HookCall,
  ValidationResult,
} from '../../src/hooks/types.ts';
import type { Logger } from '../../src/logging/logger.ts';
import {
  type ApplyResult,
  type ChangeSet,
  decodeChangeSet,
  encodeChangeSet,
} from '../../src/protocol/types.ts';
import { LateReader } from '../../src/service/databases/database-reader.ts';
import { surroundingsWithoutServer } from '../../src/service/hook-surroundings.ts';

export const SITE = new Uint8Array(16).fill(7);
export const CLIENT: ClientIdentity = { userId: 'ann', siteId: SITE, databaseId: 'db' };
export const RESULT: ApplyResult = { applied: 1, skipped: 0, conflicts: 0, transactions: 1 };
export const REQUEST: AuthRequest = {
  token: 'open-sesame',
  siteId: SITE,
  databaseId: 'db',
  transport: 'http',
  headers: {},
};
export const SOCKET = {} as WebSocket;

export function changeSet(transactionId: string, table = 'todo'): ChangeSet {
  const hlc = { wallTime: 1n, counter: 0, siteId: SITE, opSeq: 0 };
  const change = { schema: 'main', table, pk: [1], column: 'text', value: 'milk', hlc };
  const changes = [{ type: 'column' as const, ...change }];
  return { siteId: SITE, transactionId, hlc, changes, schemaMigrations: [] };
}

/** What modules have around them where there is no server; metrics on a registry of their own. */
export function surroundings(
  read: CoordinatorReader = new LateReader(),
  registry: Registry = new Registry(),
): HookSurroundings {
  return { ...surroundingsWithoutServer(registry), read };
}

/** A module as a config with these options has it set up; closed when the test ends. */
export async function setUpModule<Options>(
  t: { after(fn: () => unknown): void },
  definition: HookDefinition<Options>,
  options?: unknown,
  around: HookSurroundings = surroundings(),
): Promise<LoadedHooks> {
  const config = {
    auth: { mode: 'none' as const, tokens: [] },
    hooks: { modules: [[definition, options] as const] },
  };
  const [loaded] = await loadHooks(config, undefined, { surroundings: around });
  if (loaded === undefined) throw new Error('nothing was loaded');
  t.after(() => loaded.close());
  return loaded;
}

/** Hooks as JavaScript may give them: of any shape. */
export function untyped(hooks: Record<string, unknown>): CoordinatorHooks {
  return hooks as CoordinatorHooks;
}

/** The call's signal, wherever the hook finds it among its arguments. */
export function signalOf(args: unknown[]): AbortSignal {
  return (args.at(-1) as HookCall).signal;
}

export function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

export interface TestChain extends HookChain {
  logs: string[];
  errors: string[];
  /** `hook module outcome` of every call. */
  outcomes: string[];
  seconds: number[];
}

function createMemoryLogger(logs: string[], errors: string[]): Logger {
  const into =
    (lines: string[]) =>
    (format: string, ...args: unknown[]) => {
      let i = 0;
      lines.push(format.replaceAll('%s', () => String(args[i++])));
    };
  return Object.assign(into(logs), { warn: into(errors), error: into(errors) });
}

/** How long hooks get that hang. */
export const SHORT_MS = 20;

export function testChain(
  modules: CoordinatorHooks[] | Record<string, CoordinatorHooks>,
  options: { timeoutMs?: number; signal?: AbortSignal; notifyCallsMax?: number } = {},
): TestChain {
  const logs: string[] = [];
  const errors: string[] = [];
  const outcomes: string[] = [];
  const seconds: number[] = [];
  const named: InvokedModule[] = Object.entries(modules).map(([name, hooks]) => ({ name, hooks }));
  const chain = createHookChain(named, {
    timeoutMs: 10_000,
    logger: createMemoryLogger(logs, errors),
    observer: (hook, module) => (outcome, duration) => {
      outcomes.push(`${hook} ${module} ${outcome}`);
      seconds.push(duration);
    },
    ...options,
  });
  return Object.assign(chain, { logs, errors, outcomes, seconds });
}

/** Of change sets as hooks see them. */
export async function beforeApply(
  chain: HookChain,
  client: ClientIdentity,
  changes: readonly ChangeSet[],
  options?: BeforeApplyOptions,
): Promise<ValidationResult> {
  const sent = changes.map(encodeChangeSet);
  const { approved, rejected } = await chain.beforeApply(client, sent, options);
  return { approved: approved.map(decodeChangeSet), rejected: [...rejected] };
}

/** Of change sets as hooks see them. */
export function afterApply(
  chain: HookChain,
  client: ClientIdentity,
  changes: readonly ChangeSet[],
  outcome: ApplyOutcome,
): void {
  chain.afterApply(client, changes.map(encodeChangeSet), outcome);
}

/** Every hook of the table, called as the coordinator calls it; notify hooks until they are done. */
export const CALLS: Record<HookName, (chain: HookChain, signal?: AbortSignal) => Promise<unknown>> =
  {
    onAuthenticate: (chain, signal) => chain.authenticate(REQUEST, signal),
    onAuthenticated: (chain, signal) => chain.authenticated(CLIENT, REQUEST, signal),
    onAuthorize: (chain, signal) =>
      chain.authorize(CLIENT, { type: 'get_changes', databaseId: 'db' }, signal),
    onBeforeApplyChanges: (chain, signal) =>
      beforeApply(chain, CLIENT, [changeSet('t1')], { signal }),
    onAfterApplyChanges: (chain) => {
      afterApply(chain, CLIENT, [changeSet('t1')], { result: RESULT });
      return chain.drain(1000);
    },
    onBeforeSendChanges: (chain, signal) =>
      chain.beforeSend(CLIENT, [encodeChangeSet(changeSet('t1'))], signal),
    onClientConnect: (chain, signal) => chain.clientConnect(CLIENT, SOCKET, signal),
    onClientHandover: (chain) => {
      chain.takeOver([CLIENT]);
      return chain.drain(1000);
    },
    onClientDisconnect: (chain) => {
      chain.takeOver([CLIENT]);
      chain.clientDisconnect(CLIENT);
      return chain.drain(1000);
    },
  };
