/**
 * The client: a local replica that is read and written at once, and a connection that brings what was
 * written to the server and what others wrote from there.
 */

import { compareHlc, type HlcText } from '../../../src/clock/hlc.ts';
import { BatchAnswer } from './answers.ts';
import { later } from './clock.ts';
import { Connection } from './connection/connection.ts';
import type { Token } from './connection/credentials.ts';
import type { ConnectionStatus } from './connection/options.ts';
import { ServerError } from './connection/server-error.ts';
import type { ConnectionState } from './connection/states.ts';
import { watchPage } from './connection/wake-ups.ts';
import {
  createEnvironment,
  type Environment,
  type SocketConstructor,
  type Transport,
} from './environment.ts';
import { Inbox } from './inbox.ts';
import { isWithoutEffect, type MigrationInput, toMigrations } from './migration.ts';
import { Outbox, type OutboxPort, type Outgoing } from './outbox.ts';
import { Outcomes } from './outcomes.ts';
import type { ApplyResult, ChangeSet, Migration } from './protocol/messages.ts';
import { FATE, META, type Meta, OUT, type StoredOutcome, tableKeyOf } from './replica/entries.ts';
import { KeptReplica, type KeptReplicaPort } from './replica/kept-replica.ts';
import type { Replica, Touched } from './replica/replica.ts';
import { RowChanges } from './replica/row-changes.ts';
import { winnerOver } from './replica/rows.ts';
import type { ClientStore, StoreError, StoreOperation } from './stores/store.ts';
import { Table } from './table.ts';
import type { Wish } from './tabs.ts';
import { type Edit, Transaction, toChanges } from './transaction.ts';
import { Write } from './write.ts';

export interface SyncClientOptions {
  /** `wss://sync.example.com/sync/ws` */
  url: string;
  /** Default: `default`. */
  databaseId?: string;
  /** A token, or what gives one; asked before each handshake and before the credentials expire. */
  token?: Token;
  /** Where the replica is kept. */
  store: ClientStore;
  /** What carries the messages: `autoTransport()` of `./http`, for instance. Default: a WebSocket. */
  transport?: Transport;
  /** Connect at once, unless other tabs are open: then as they do. Default: true. */
  connect?: boolean;
  /** Of the replica, where it is new: 22 characters of base64url. Default: a random one. */
  siteId?: string;
  /** Where the runtime has none (Node before 22). */
  WebSocket?: SocketConstructor;
  /** What the client takes from where it runs; for tests. */
  environment?: Environment;
}

export interface SyncStatus {
  readonly connection: ConnectionState;
  /** Whether this tab has the connection of all that share the store; always, where none do. */
  readonly isLeader: boolean;
  /** Writes without an answer. */
  readonly pending: number;
  /** When the server was last known to hold nothing newer, in milliseconds since 1970. */
  readonly lastSyncedAt: number | undefined;
  /** While a snapshot is received; `total` is the server's estimate. */
  readonly bootstrap: { readonly received: number; readonly total: number } | undefined;
  /** What went wrong with the connection last; gone once it is live. */
  readonly error: Error | undefined;
  /** Why the replica can't be stored at the moment. */
  readonly storeError: StoreError | undefined;
}

export class SyncClient {
  /** Resolves when the local data is there. Says nothing of the network. */
  readonly ready: Promise<void>;
  readonly outcomes: Outcomes;
  readonly #options: SyncClientOptions;
  readonly #environment: Environment;
  readonly #kept: KeptReplica;
  readonly #replica: Replica;
  readonly #tables = new Map<string, Table>();
  readonly #writes = new Map<string, Write>();
  readonly #statusListeners = new Set<() => void>();
  readonly #migrationListeners = new Set<() => void>();
  #status: SyncStatus | undefined;
  #storeError: StoreError | undefined;
  #connection: Connection | undefined;
  #outbox: Outbox | undefined;
  #unwatch = () => {};
  /** The connection of the tab that leads, where that is another one. */
  #told: ConnectionStatus | undefined;
  #isWanted: boolean;
  #token: Token | undefined;
  #isClosed = false;

  constructor(options: SyncClientOptions) {
    this.#options = options;
    this.#environment = options.environment ?? createEnvironment(options);
    const { databaseId = 'default', store, siteId, token, connect = true } = options;
    this.#isWanted = connect;
    this.#token = token;
    this.#kept = new KeptReplica(
      { store, environment: this.#environment, databaseId, siteId },
      this.#keptPort(),
    );
    this.#replica = this.#kept.replica;
    this.outcomes = new Outcomes(this.#replica, {
      commit: (operations) => void this.#kept.commit(operations),
      write: (edits, also, migrations) => this.#write(edits, also, migrations),
    });
    this.ready = this.#start();
    // Who does not wait for it learns of it by the status.
    this.ready.catch(() => undefined);
  }

  async #start(): Promise<void> {
    try {
      await this.#kept.open();
    } catch (cause) {
      this.#storeError = cause as StoreError;
      this.#statusChanged();
      throw cause;
    }
  }

  #keptPort(): KeptReplicaPort {
    return {
      changed: (touched) => this.#changed(touched),
      othersAnswered: () => this.#settleGone(),
      sendable: () => this.#outbox?.flush(),
      fault: (fault) => {
        this.#storeError = fault;
        this.#statusChanged();
      },
      lead: () => this.#lead(),
      follow: () => {
        this.#unwatch();
        this.#connection?.stop();
        this.#outbox?.stop();
        this.#connection = undefined;
        this.#outbox = undefined;
      },
      status: () => {
        const { state, error }: ConnectionStatus = this.#connection?.status ?? {
          state: this.#isWanted ? 'connecting' : 'stopped',
        };
        const told = error && { message: error.message, code: Reflect.get(error, 'code') };
        return { isWanted: this.#isWanted, connection: state, error: told };
      },
      heard: (told) => {
        this.#isWanted = told.isWanted;
        this.#told = { state: told.connection, error: told.error && toToldError(told.error) };
        this.#statusChanged();
      },
      wish: (wish) => this.#carryOut(wish),
    };
  }

  /** Connects. */
  #lead(): void {
    const clock = this.#kept.clock;
    if (clock === undefined || this.#isClosed) return;
    const { url, databaseId, transport } = this.#options;
    const token = this.#token;
    const commit = (operations: StoreOperation[]) => this.#kept.commitAsLeader(operations);
    const inbox = new Inbox(this.#replica, clock, { commit, now: () => this.#environment.now() });
    const connection = new Connection(
      { url, databaseId, token, siteId: this.siteId, transport },
      inbox,
      this.#environment,
    );
    this.#connection = connection;
    const port: OutboxPort = {
      unanswered: () => this.#kept.sendable,
      answered: (batch, result) => this.#answered(batch, result),
      refused: (write, error) => this.#refused(write, error),
      redate: (from, serverTimeMs) => this.#redate(from, serverTimeMs),
    };
    this.#outbox = new Outbox(connection, port, this.#environment);
    connection.onServerTime = (serverTimeMs) => {
      // Else the server would refuse what is written from now on, or older edits would beat it. What
      // waits already may have been stored: it keeps its dates unless the server refuses them.
      if (Math.abs(clock.now() - serverTimeMs) < CLOCK_WRONG_MS) return;
      clock.correct(serverTimeMs);
      this.#kept.observe();
    };
    const { tabs } = this.#kept;
    const mayLetGo = () => this.#replica.outbox.size === 0 && (tabs?.isAlone ?? true);
    this.#unwatch = watchPage(connection, this.#environment, mayLetGo);
    let wasLive = false;
    connection.subscribe(() => {
      const isLive = connection.canApply;
      if (isLive && !wasLive) this.#outbox?.flush();
      wasLive = isLive;
      this.#statusChanged();
      tabs?.tellStatus();
    });
    if (this.#isWanted) connection.connect();
  }

  /** 22 characters of base64url; empty until `ready`. */
  get siteId(): string {
    return this.#replica.meta.siteId;
  }

  get status(): SyncStatus {
    this.#status ??= this.#readStatus();
    return this.#status;
  }

  #readStatus(): SyncStatus {
    const { snapshot, lastSyncedAt } = this.#replica.meta;
    const { isLeader } = this.#kept.tabs ?? { isLeader: true };
    const { state, error }: ConnectionStatus = this.#connection?.status ??
      this.#told ?? { state: 'stopped' };
    return {
      connection: state,
      isLeader,
      pending: this.#replica.outbox.size,
      lastSyncedAt,
      bootstrap: snapshot && {
        received: snapshot.checkpoint.entriesProcessed,
        total: snapshot.estimatedEntries,
      },
      error,
      storeError: this.#storeError,
    };
  }

  /** @returns ends it */
  subscribeStatus(listener: () => void): () => void {
    this.#statusListeners.add(listener);
    return () => this.#statusListeners.delete(listener);
  }

  #statusChanged(): void {
    this.#status = undefined;
    for (const listener of [...this.#statusListeners]) listener();
  }

  /**
   * DDL of the database in the order of its HLCs, with that which has no answer yet. What led to a table
   * that was dropped since is not kept.
   */
  get migrations(): readonly Migration[] {
    return this.#replica.migrations;
  }

  /** Called once for each transaction that has brought DDL. @returns ends it */
  subscribeMigrations(listener: () => void): () => void {
    this.#migrationListeners.add(listener);
    return () => this.#migrationListeners.delete(listener);
  }

  /** The tables that have rows here. */
  tables(): { schema: string; table: string }[] {
    return this.#replica.tables();
  }

  table<T extends object = Record<string, unknown>>(
    name: string,
    { schema = 'main' }: { schema?: string } = {},
  ): Table<T> {
    const key = tableKeyOf(schema, name);
    let table = this.#tables.get(key);
    if (table === undefined) {
      table = new Table(schema, name, this.#replica, this.outcomes);
      this.#tables.set(key, table);
    }
    return table as unknown as Table<T>;
  }

  /**
   * Writes to the replica at once, and to the server when it can be reached: as a whole.
   * @throws TypeError for a value or key that can't be stored; then nothing of it is written
   */
  transact(write: (tx: Transaction) => void): Write {
    const transaction = new Transaction();
    write(transaction);
    return this.#write(transaction.edits, []);
  }

  /**
   * Sends DDL, in its place among the writes. Devices with SQL need it: they hold back changes to tables
   * that no CREATE has brought. Here a drop takes rows away, and a rename moves them, at once.
   * @throws TypeError for DDL that the server would refuse
   */
  migrate(migration: MigrationInput): Write {
    return this.#write([], [], [migration]);
  }

  #write(
    edits: readonly Edit[],
    also: StoreOperation[],
    migrations: readonly MigrationInput[] = [],
  ): Write {
    const { clock, tabs } = this.#kept;
    if (clock === undefined || this.#isClosed) {
      throw new Error(
        this.#isClosed ? 'the client is closed' : 'await client.ready before writing',
      );
    }
    const hlcOf = clock.next(tabs?.number);
    const changes = toChanges(edits, hlcOf);
    const schemaMigrations = toMigrations(migrations, this.migrations, hlcOf);
    const count = changes.length + schemaMigrations.length;
    const hlc = hlcOf(Math.max(0, count - 1));
    const changeSet: ChangeSet = {
      siteId: this.siteId,
      transactionId: hlc,
      hlc,
      changes,
      schemaMigrations,
    };
    const operations: StoreOperation[] = [...also];
    if (count > 0) operations.push({ type: 'put', key: OUT + hlc, value: changeSet });
    const durable = this.#kept.commit(operations);
    const write = new Write(hlc, durable);
    if (count === 0) {
      write.settle('acknowledged');
      return write;
    }
    this.#writes.set(changeSet.transactionId, write);
    return write;
  }

  async #answered(batch: readonly Outgoing[], result: ApplyResult): Promise<void> {
    const answer = new BatchAnswer(result);
    const rows = new RowChanges(this.#replica);
    const operations: StoreOperation[] = [];
    let { seen } = this.#replica.meta;
    let startsOver = false;
    const fates: [string, 'acknowledged' | StoredOutcome['state']][] = [];
    for (const cell of answer.conflictingOf(result)) {
      if ('value' in cell) rows.mergeOwn({ type: 'column', ...cell, value: cell.value });
    }
    for (const write of batch) {
      const [hlc, changeSet] = write;
      const { taken, outcome } = answer.of(write, this.siteId, this.#environment.now(), (change) =>
        winnerOver(rows.rowOfOwn(change), change),
      );
      if (outcome === undefined && changeSet.schemaMigrations?.length) {
        if (isWithoutEffect(changeSet, result, this.#replica.migrations)) startsOver = true;
        else rows.migrate(changeSet.schemaMigrations, result.applied === 0);
      }
      for (const change of taken) rows.mergeOwn(change);
      seen = later(seen, hlc);
      operations.push({ type: 'delete', key: OUT + hlc });
      if (outcome !== undefined) {
        operations.push({ type: 'put', key: FATE + changeSet.transactionId, value: outcome });
      }
      fates.push([changeSet.transactionId, outcome?.state ?? 'acknowledged']);
    }
    const meta: Meta = { ...this.#replica.meta, seen };
    operations.push(...rows.operations(), { type: 'put', key: META, value: meta });
    await this.#kept.commitAsLeader(operations);
    for (const [id, fate] of fates) this.#settle(id, fate);
    if (startsOver) await this.#connection?.startOver();
  }

  async #refused([hlc, changeSet]: Outgoing, error: ServerError): Promise<void> {
    const outcome: StoredOutcome = {
      state: 'rejected',
      at: this.#environment.now(),
      code: error.code,
      reason: error.message,
      changeSet,
      changes: changeSet.changes.map((change) => ({ change })),
    };
    await this.#kept.commitAsLeader([
      { type: 'delete', key: OUT + hlc },
      { type: 'put', key: FATE + changeSet.transactionId, value: outcome },
    ]);
    this.#settle(changeSet.transactionId, 'rejected');
  }

  #settle(id: string, fate: 'acknowledged' | StoredOutcome['state']): void {
    this.#writes.get(id)?.settle(fate);
    this.#writes.delete(id);
  }

  /** Gives writes from one on new dates, in their order, by the server's clock. */
  async #redate(from: HlcText, serverTimeMs: number): Promise<void> {
    const { clock, tabs } = this.#kept;
    if (clock === undefined) return;
    clock.correct(serverTimeMs);
    const { seen } = this.#replica.meta;
    if (seen !== undefined) clock.observe(seen);
    const operations: StoreOperation[] = [];
    const writes = [...this.#replica.outbox].sort(([a], [b]) => compareHlc(a, b));
    for (const [hlc, changeSet] of writes) {
      if (compareHlc(hlc, from) < 0) {
        clock.observe(hlc);
        continue;
      }
      const hlcOf = clock.next(tabs?.number);
      const changes = changeSet.changes.map((change, opSeq) => ({ ...change, hlc: hlcOf(opSeq) }));
      const schemaMigrations = (changeSet.schemaMigrations ?? []).map((each, i) => ({
        ...each,
        hlc: hlcOf(changes.length + i),
      }));
      const count = changes.length + schemaMigrations.length;
      const next = { ...changeSet, hlc: hlcOf(Math.max(0, count - 1)), changes, schemaMigrations };
      operations.push({ type: 'delete', key: OUT + hlc });
      operations.push({ type: 'put', key: OUT + next.hlc, value: next });
    }
    await this.#kept.commitAsLeader(operations);
  }

  /** Settles the writes that another tab has got an answer to. */
  #settleGone(): void {
    if (this.#writes.size === 0) return;
    const ids = new Set([...this.#replica.outbox.values()].map((write) => write.transactionId));
    for (const id of [...this.#writes.keys()]) {
      if (!ids.has(id)) this.#settle(id, this.#replica.outcomes.get(id)?.state ?? 'acknowledged');
    }
  }

  #changed(touched: Touched): void {
    if (touched.outcomes) this.outcomes.changed(touched.migrations);
    // All of them forget before anybody is told: who is told of one may look at another.
    const tables = [...this.#tables.values()].filter((table) => table.forget(touched));
    for (const table of tables) table.notify();
    if (touched.outcomes) this.outcomes.notify();
    if (touched.migrations) for (const listener of [...this.#migrationListeners]) listener();
    this.#statusChanged();
  }

  /** Connects, in whichever tab leads. */
  connect(): void {
    this.#wish(true);
  }

  /** Goes offline until `connect`, in all tabs. Reading and writing go on. */
  disconnect(): void {
    this.#wish(false);
  }

  /** From now on. Another tab that leads is told a text, and asks its own function otherwise. */
  setToken(token: Token): void {
    this.#token = token;
    this.#connection?.setToken(token);
    this.#kept.tabs?.tellWish(typeof token === 'string' ? { token } : { renew: true });
  }

  #wish(isWanted: boolean): void {
    this.#carryOut({ isWanted });
    this.#kept.tabs?.tellWish({ isWanted });
  }

  #carryOut({ isWanted, token, renew }: Wish): void {
    if (token !== undefined) this.#token = token;
    const isNew = renew || token !== undefined;
    if (isNew && this.#token !== undefined) this.#connection?.setToken(this.#token);
    if (isWanted === undefined) return;
    this.#isWanted = isWanted;
    if (isWanted) this.#connection?.connect();
    else this.#connection?.stop();
  }

  /** Ends everything. What was written is durable when it resolves. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#unwatch();
    this.#connection?.stop();
    this.#outbox?.stop();
    await this.#kept.close();
  }
}

/** Far below what a server lets pass (`sync.maxClockDriftMs`, a minute unless set). */
const CLOCK_WRONG_MS = 10_000;

function toToldError({ message, code }: { message: string; code?: string }): Error {
  return code === undefined ? new Error(message) : new ServerError({ message, code });
}

export function createSyncClient(options: SyncClientOptions): SyncClient {
  return new SyncClient(options);
}
