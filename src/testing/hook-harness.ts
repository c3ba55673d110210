/** Sets up a hook module and invokes its hooks as the coordinator does, without a server. */

import { Registry } from 'prom-client';
import type { WebSocket } from 'ws';
import { createHookChain, type HookChain } from '../hooks/chain/chain.ts';
import type { HookSurroundings } from '../hooks/context.ts';
import type { CoordinatorAccess } from '../hooks/coordinator-access.ts';
import type { HookModule } from '../hooks/define-hooks.ts';
import { Handover } from '../hooks/loading/handover.ts';
import { setUpModule } from '../hooks/loading/loader.ts';
import { ProvidedValues, type Token } from '../hooks/provided.ts';
import type { BatchReader, CoordinatorReader } from '../hooks/reader.ts';
import type {
  AuthContext,
  ClientIdentity,
  SyncOperation,
  ValidationResult,
} from '../hooks/types.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';
import { surroundingsWithoutServer } from '../service/hook-surroundings.ts';
import { decodeLazily } from '../wire/lazy-change-set.ts';
import type { TestOwner } from './coordinator.ts';
import { siteBytes } from './device.ts';

export interface HarnessOptions {
  /** The module's options, as in a config. */
  options?: unknown;
  /**
   * The client that the hooks are invoked for. Default: one of site 1 in the database `default`.
   */
  client?: Partial<ClientIdentity>;
  /** What the module can read. Default: empty databases. */
  read?: Partial<CoordinatorReader>;
  /** What the module can do with the coordinator. Default: everything throws. */
  service?: Partial<CoordinatorAccess>;
  /** Values that modules before it provide, by token. */
  provided?: readonly (readonly [token: Token<unknown>, value: unknown])[];
  /** The longest that a call may take. Default: 5 seconds. */
  timeoutMs?: number;
}

/**
 * Each method rejects with the SyncError that a client would receive. Change sets are in JSON form,
 * as `Device` writes them.
 */
export interface HookHarness {
  readonly client: ClientIdentity;
  readonly has: HookChain['has'];
  authenticate(request?: Partial<AuthContext>): Promise<ClientIdentity | undefined>;
  /** The client with what the module adds to it. */
  authenticated(): Promise<ClientIdentity>;
  authorize(operation?: Partial<SyncOperation>): Promise<void>;
  beforeApply(...changeSets: WireChangeSet[]): Promise<ValidationResult>;
  /** Waits until the hooks have run. */
  afterApply(...changeSets: WireChangeSet[]): Promise<void>;
  beforeSend(...changeSets: WireChangeSet[]): Promise<readonly WireChangeSet[]>;
  clientConnect(socket: WebSocket): Promise<void>;
  /** Notifies the module of a connected client, as a reload does. Waits until the hook has run. */
  clientHandover(): Promise<void>;
  /** Notifies the module that a client has gone, after `clientConnect` or `clientHandover`. */
  clientDisconnect(): Promise<void>;
  /**
   * Replaces the module by a new instance, as in a reload: it gets what the old one hands over, and
   * is notified of connected clients. With `fails`, a later module of the reload fails: the old
   * instance takes back what it has handed over, and stays.
   * @throws HookLoadError if the new instance can't be set up; Error if the old one can't take it
   *   back
   */
  reload(options?: { fails?: boolean }): Promise<void>;
  /** Calls that failed: `<hook> <outcome>`. */
  readonly failures: readonly string[];
  /** The module's metrics, as text. */
  metrics(): Promise<string>;
  close(): Promise<void>;
}

const CLOSE_MS = 5000;

const NOWHERE = { wallTime: 0n, counter: 0, siteId: siteBytes(0), opSeq: 0 };

const NOTHING: CoordinatorReader = {
  ready: Promise.resolve(),
  row: async () => undefined,
  async *rows() {},
  sameTable: async () => false,
  position: async () => NOWHERE,
  async *changes() {},
  pinLog: async (_databaseId, { position = NOWHERE }) => ({
    position,
    advance: () => undefined,
    close: () => undefined,
    release: async () => undefined,
  }),
};

/** Sets up a module. @throws HookLoadError if that fails */
export async function askHooks(
  owner: TestOwner,
  module: HookModule<never>,
  {
    options,
    client = {},
    read = {},
    service = {},
    provided = [],
    timeoutMs = 5000,
  }: HarnessOptions = {},
): Promise<HookHarness> {
  const registry = new Registry();
  const bare = surroundingsWithoutServer(registry);
  const surroundings: HookSurroundings = {
    ...bare,
    read: { ...NOTHING, ...read },
    service: { ...bare.service, ...service },
  };
  const failures: string[] = [];
  const setUp = async (previousOf?: HookSurroundings['previousOf']) => {
    const values = new ProvidedValues();
    const before = values.next('the test');
    for (const [token, value] of provided) before.provide(token, value);
    const around = { ...surroundings, provided: values, previousOf };
    const loaded = await setUpModule(module, options, around);
    const chain = createHookChain([loaded], {
      timeoutMs,
      observer: (hook) => (outcome) => {
        if (outcome !== 'ok' && outcome !== 'refused') failures.push(`${hook} ${outcome}`);
      },
    });
    const close = async () => {
      await chain.drain(CLOSE_MS);
      await loaded.close();
    };
    return { loaded, chain, close };
  };
  let current = await setUp();
  const chain = () => current.chain;

  async function reload({ fails = false } = {}): Promise<void> {
    const last = current;
    const handover = new Handover([last.loaded]);
    try {
      const next = await setUp((name) => handover.previousOf(name));
      if (!fails) {
        current = next;
        chain().takeOver(last.chain.handOver());
        return await last.close();
      }
      await next.close();
    } catch (error) {
      await handover.undo();
      throw error;
    }
    const [fault] = await handover.undo();
    if (fault !== undefined) throw new Error(fault);
  }

  const identity: ClientIdentity = Object.freeze({
    siteId: siteBytes(1),
    databaseId: 'default',
    ...client,
  });
  const { siteId, databaseId = 'default' } = identity;
  const close = () => current.close();
  const { row, rows, sameTable } = { ...NOTHING, ...read };
  // Added change sets are not visible, which would need a database (see `startCoordinator`).
  const reader = (): BatchReader => ({
    row: (of) => row(databaseId, of),
    rows: (of) => rows(databaseId, of),
    sameTable: (a, b) => sameTable(databaseId, a, b),
    add: () => undefined,
  });
  owner.after(close);
  return {
    client: identity,
    has: chain().has,
    failures,
    reload,
    close,
    metrics: () => registry.metrics(),
    authenticate: ({ signal, ...request } = {}) =>
      chain().authenticate(
        { siteId, databaseId, transport: 'websocket', headers: {}, ...request },
        signal,
      ),
    authenticated: () =>
      chain().authenticated(identity, { siteId, databaseId, transport: 'websocket', headers: {} }),
    authorize: (operation = {}) =>
      chain().authorize(identity, {
        type: 'get_changes',
        databaseId,
        ...(operation.type === 'apply_changes' ? { changeCount: 1 } : {}),
        ...operation,
      } as SyncOperation),
    async beforeApply(...changeSets) {
      const { approved, rejected } = await chain().beforeApply(identity, changeSets, { reader });
      return { approved: approved.map(decodeLazily), rejected: [...rejected] };
    },
    async afterApply(...changeSets) {
      const applied = changeSets.reduce((sum, { changes }) => sum + changes.length, 0);
      const result = { applied, skipped: 0, conflicts: 0, transactions: changeSets.length };
      chain().afterApply(identity, changeSets, { result });
      await chain().settled();
    },
    beforeSend: (...changeSets) => chain().beforeSend(identity, changeSets),
    clientConnect: (socket) => chain().clientConnect(identity, socket),
    async clientHandover() {
      chain().takeOver([identity]);
      await chain().settled();
    },
    async clientDisconnect() {
      chain().clientDisconnect(identity);
      await chain().settled();
    },
  };
}
