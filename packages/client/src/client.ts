/**
 * The client: a local replica that is read and written at once, and a connection that brings what was
 * written to the server and what others wrote from there.
 */

import { compareHlc, type HlcText } from '../../../src/clock/hlc.ts';
import { siteIdToText } from '../../../src/clock/site-id.ts';
import { BatchAnswer } from './answers.ts';
import { later, SiteClock } from './clock.ts';
import { Connection, type ConnectionStatus, type Token } from './connection/connection.ts';
import type { ServerError } from './connection/server-error.ts';
import type { ConnectionState } from './connection/states.ts';
import { watchPage } from './connection/wake-ups.ts';
import {
  createEnvironment,
  type Environment,
  type SocketConstructor,
  type Transport,
} from './environment.ts';
import { Inbox, RowChanges } from './inbox.ts';
import { Outbox, type OutboxPort, type Outgoing } from './outbox.ts';
import { Outcomes } from './outcomes.ts';
import type { ApplyResult, ChangeSet, Migration } from './protocol/messages.ts';
import {
  FATE,
  FORMAT,
  META,
  type Meta,
  OUT,
  rowKeyOf,
  type StoredOutcome,
  tableKeyOf,
} from './replica/entries.ts';
import { Replica } from './replica/replica.ts';
import { winnerOver } from './replica/rows.ts';
import { StoreLog } from './replica/store-log.ts';
import { type ClientStore, StoreError, type StoreOperation } from './stores/store.ts';
import { Table } from './table.ts';
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
  /** Connect at once. Default: true. */
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
  readonly #log: StoreLog;
  readonly #replica: Replica;
  readonly #tables = new Map<string, Table>();
  readonly #writes = new Map<string, Write>();
  /** Of `out/` entries that are durable. */
  readonly #sendable = new Map<HlcText, ChangeSet>();
  readonly #statusListeners = new Set<() => void>();
  #status: SyncStatus | undefined;
  #storeError: StoreError | undefined;
  #clock: SiteClock | undefined;
  #connection: Connection | undefined;
  #outbox: Outbox | undefined;
  #unwatch = () => {};
  #isClosed = false;

  constructor(options: SyncClientOptions) {
    this.#options = options;
    this.#environment = options.environment ?? createEnvironment(options);
    const { databaseId = 'default' } = options;
    this.#replica = new Replica({ format: FORMAT, databaseId, siteId: '', generation: 0 });
    this.#log = new StoreLog(options.store, this.#environment, (fault) => {
      this.#storeError = fault;
      this.#statusChanged();
    });
    this.outcomes = new Outcomes(this.#replica, {
      commit: (operations) => void this.#commit(operations),
      write: (edits, also) => this.#write(edits, also),
    });
    this.ready = this.#start();
    // Who does not wait for it learns of it by the status.
    this.ready.catch(() => undefined);
  }

  async #start(): Promise<void> {
    try {
      const entries = await this.#options.store.load();
      this.#takeStored(entries);
    } catch (cause) {
      this.#storeError =
        cause instanceof StoreError
          ? cause
          : new StoreError('STORE_UNAVAILABLE', String(cause), { cause });
      this.#statusChanged();
      throw this.#storeError;
    }
    if (this.#isClosed) return;
    const { url, databaseId, token, transport, connect = true } = this.#options;
    const { siteId } = this.#replica.meta;
    const clock = new SiteClock(siteId, () => this.#environment.now());
    this.#clock = clock;
    this.#observeAll(clock);
    const commit = (operations: StoreOperation[]) => this.#commit(operations);
    const inbox = new Inbox(this.#replica, clock, { commit, now: () => this.#environment.now() });
    const connection = new Connection(
      { url, databaseId, token, siteId, transport },
      inbox,
      this.#environment,
    );
    this.#connection = connection;
    const port: OutboxPort = {
      unanswered: () => this.#sendable,
      answered: (batch, result) => this.#answered(batch, result),
      refused: (write, error) => this.#refused(write, error),
      redate: (serverTimeMs) => this.#redate(serverTimeMs),
    };
    this.#outbox = new Outbox(connection, port, this.#environment);
    connection.onServerTime = (serverTimeMs) => {
      // Else the server would refuse what is written from now on, or older edits would beat it. What
      // waits already may have been stored: it keeps its dates unless the server refuses them.
      if (Math.abs(clock.now() - serverTimeMs) < CLOCK_WRONG_MS) return;
      clock.correct(serverTimeMs);
      this.#observeAll(clock);
    };
    const mayLetGo = () => this.#replica.outbox.size === 0;
    this.#unwatch = watchPage(connection, this.#environment, mayLetGo);
    let wasLive = false;
    connection.subscribe(() => {
      const isLive = connection.canApply;
      if (isLive && !wasLive) this.#outbox?.flush();
      wasLive = isLive;
      this.#statusChanged();
    });
    if (connect) connection.connect();
  }

  #takeStored(entries: Iterable<[key: string, value: unknown]>): void {
    const operations: StoreOperation[] = [];
    for (const [key, value] of entries) operations.push({ type: 'put', key, value });
    const stored = operations.find((operation) => 'key' in operation && operation.key === META);
    const meta: Meta = stored?.type === 'put' ? (stored.value as Meta) : this.#newMeta();
    if (meta.format !== FORMAT) {
      throw new StoreError(
        'STORE_VERSION',
        `the replica has format ${meta.format}, and this client reads format ${FORMAT}`,
      );
    }
    const { databaseId } = this.#replica.meta;
    if (meta.databaseId !== databaseId) {
      throw new StoreError(
        'STORE_VERSION',
        `the store holds the database ${meta.databaseId}, not ${databaseId}`,
      );
    }
    if (stored === undefined) void this.#log.write([{ type: 'put', key: META, value: meta }]);
    // The rows that are shown are those of the generation that it names.
    this.#changed([{ type: 'put', key: META, value: meta }, ...operations]);
    for (const [hlc, changeSet] of this.#replica.outbox) this.#sendable.set(hlc, changeSet);
  }

  #newMeta(): Meta {
    const siteId = this.#options.siteId ?? siteIdToText(this.#environment.randomBytes(16));
    return { ...this.#replica.meta, siteId };
  }

  #observeAll(clock: SiteClock): void {
    const { seen } = this.#replica.meta;
    if (seen !== undefined) clock.observe(seen);
    for (const hlc of this.#replica.outbox.keys()) clock.observe(hlc);
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
    const { state, error }: ConnectionStatus = this.#connection?.status ?? { state: 'stopped' };
    return {
      connection: state,
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

  /** DDL of the database, in the order in which the server told it. */
  get migrations(): readonly Migration[] {
    return this.#replica.migrations;
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

  #write(edits: readonly Edit[], also: StoreOperation[]): Write {
    const clock = this.#clock;
    if (clock === undefined || this.#isClosed) {
      throw new Error(
        this.#isClosed ? 'the client is closed' : 'await client.ready before writing',
      );
    }
    const hlcOf = clock.next();
    const changes = toChanges(edits, hlcOf);
    const hlc = hlcOf(Math.max(0, changes.length - 1));
    const changeSet: ChangeSet = {
      siteId: this.siteId,
      transactionId: hlc,
      hlc,
      changes,
      schemaMigrations: [],
    };
    const operations: StoreOperation[] = [...also];
    if (changes.length > 0) operations.push({ type: 'put', key: OUT + hlc, value: changeSet });
    const durable = this.#commit(operations);
    const write = new Write(hlc, durable);
    if (changes.length === 0) {
      write.settle('acknowledged');
      return write;
    }
    this.#writes.set(changeSet.transactionId, write);
    void durable.then(() => {
      if (this.#replica.outbox.get(hlc) !== changeSet) return;
      this.#sendable.set(hlc, changeSet);
      this.#outbox?.flush();
    });
    return write;
  }

  async #answered(batch: readonly Outgoing[], result: ApplyResult): Promise<void> {
    const answer = new BatchAnswer(result);
    const rows = new RowChanges(this.#replica);
    const operations: StoreOperation[] = [];
    let { seen } = this.#replica.meta;
    const fates: [string, 'acknowledged' | StoredOutcome['state']][] = [];
    for (const cell of answer.conflictingOf(result)) {
      if ('value' in cell) rows.merge({ type: 'column', ...cell, value: cell.value });
    }
    for (const write of batch) {
      const [hlc, changeSet] = write;
      const { taken, outcome } = answer.of(write, this.siteId, this.#environment.now(), (change) =>
        winnerOver(rows.row(rowKeyOf(change)), change),
      );
      for (const change of taken) rows.merge(change);
      seen = later(seen, hlc);
      operations.push({ type: 'delete', key: OUT + hlc });
      if (outcome !== undefined) {
        operations.push({ type: 'put', key: FATE + changeSet.transactionId, value: outcome });
      }
      fates.push([changeSet.transactionId, outcome?.state ?? 'acknowledged']);
    }
    const meta: Meta = { ...this.#replica.meta, seen };
    operations.push(...rows.operations(), { type: 'put', key: META, value: meta });
    await this.#commit(operations);
    for (const [id, fate] of fates) this.#settle(id, fate);
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
    await this.#commit([
      { type: 'delete', key: OUT + hlc },
      { type: 'put', key: FATE + changeSet.transactionId, value: outcome },
    ]);
    this.#settle(changeSet.transactionId, 'rejected');
  }

  #settle(id: string, fate: 'acknowledged' | StoredOutcome['state']): void {
    this.#writes.get(id)?.settle(fate);
    this.#writes.delete(id);
  }

  /** Gives all writes without an answer new dates, in their order, by the server's clock. */
  async #redate(serverTimeMs: number): Promise<void> {
    const clock = this.#clock;
    if (clock === undefined) return;
    clock.correct(serverTimeMs);
    const { seen } = this.#replica.meta;
    if (seen !== undefined) clock.observe(seen);
    const operations: StoreOperation[] = [];
    const redated: Outgoing[] = [];
    const writes = [...this.#replica.outbox].sort(([a], [b]) => compareHlc(a, b));
    for (const [hlc, changeSet] of writes) {
      const hlcOf = clock.next();
      const changes = changeSet.changes.map((change, opSeq) => ({ ...change, hlc: hlcOf(opSeq) }));
      const next = { ...changeSet, hlc: hlcOf(Math.max(0, changes.length - 1)), changes };
      operations.push({ type: 'delete', key: OUT + hlc });
      operations.push({ type: 'put', key: OUT + next.hlc, value: next });
      redated.push([next.hlc, next]);
    }
    await this.#commit(operations);
    for (const [hlc, changeSet] of redated) {
      if (this.#replica.outbox.get(hlc) === changeSet) this.#sendable.set(hlc, changeSet);
    }
  }

  /** Takes operations into memory at once. @returns resolves when they are durable */
  #commit(operations: StoreOperation[]): Promise<void> {
    if (operations.length === 0) return Promise.resolve();
    const durable = this.#log.write(operations);
    this.#changed(operations);
    return durable;
  }

  #changed(operations: readonly StoreOperation[]): void {
    const touched = this.#replica.apply(operations);
    for (const hlc of this.#sendable.keys()) {
      if (!this.#replica.outbox.has(hlc)) this.#sendable.delete(hlc);
    }
    if (touched.outcomes) this.outcomes.changed();
    // All of them forget before anybody is told: who is told of one may look at another.
    const tables = [...this.#tables.values()].filter((table) => table.forget(touched));
    for (const table of tables) table.notify();
    if (touched.outcomes) this.outcomes.notify();
    this.#statusChanged();
  }

  connect(): void {
    this.#connection?.connect();
  }

  /** Goes offline until `connect`. Reading and writing go on. */
  disconnect(): void {
    this.#connection?.stop();
  }

  setToken(token: Token): void {
    this.#connection?.setToken(token);
  }

  /** Ends everything. What was written is durable when it resolves. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#unwatch();
    this.#connection?.stop();
    this.#outbox?.stop();
    await this.ready.catch(() => undefined);
    await this.#log.close();
  }
}

/** Far below what a server lets pass (`sync.maxClockDriftMs`, a minute unless set). */
const CLOCK_WRONG_MS = 10_000;

export function createSyncClient(options: SyncClientOptions): SyncClient {
  return new SyncClient(options);
}
