/**
 * The client: a local replica that is read and written at once, and a connection that brings what was
 * written to the server and what others wrote from there.
 */

import type { Token } from './connection/credentials.ts';
import type { ConnectionStatus } from './connection/options.ts';
import { ServerError } from './connection/server-error.ts';
import { createEnvironment, type Environment } from './environment.ts';
import { Listeners } from './listeners.ts';
import { memberOf } from './maps.ts';
import type { MigrationInput } from './migration.ts';
import type { SyncClientOptions, SyncStatus } from './options.ts';
import { Outcomes } from './outcomes.ts';
import type { Migration } from './protocol/messages.ts';
import { tableKeyOf } from './replica/entries.ts';
import { KeptReplica, type KeptReplicaPort } from './replica/kept-replica.ts';
import type { Replica, Touched } from './replica/replica.ts';
import type { StoreError, StoreOperation } from './stores/store.ts';
import { Table } from './table.ts';
import type { Wish } from './tabs.ts';
import { type Edit, Transaction } from './transaction.ts';
import { Uplink } from './uplink.ts';
import type { Write } from './write.ts';
import { Writes } from './writes.ts';

export class SyncClient {
  /** Resolves when the local data is there. Says nothing of the network. */
  readonly ready: Promise<void>;
  readonly outcomes: Outcomes;
  readonly #options: SyncClientOptions;
  readonly #environment: Environment;
  readonly #kept: KeptReplica;
  readonly #replica: Replica;
  readonly #tables = new Map<string, Table<object>>();
  readonly #writes: Writes;
  readonly #statusListeners = new Listeners();
  readonly #migrationListeners = new Listeners();
  #status: SyncStatus | undefined;
  #storeError: StoreError | undefined;
  /** While this tab leads. */
  #uplink: Uplink | undefined;
  /** The connection of the tab that leads, where that is another one. */
  #told: ConnectionStatus | undefined;
  #clockOffsetMs: number | undefined;
  #isWanted: boolean;
  #token: Token | undefined;
  #isClosed = false;
  #closing = Promise.resolve();

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
    this.#writes = new Writes(this.#kept);
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
      this.#correctClock();
    } catch (cause) {
      this.#storeError = cause as StoreError;
      this.#statusChanged();
      throw cause;
    }
  }

  /** What the leader was told of this device's clock holds for all tabs. */
  #correctClock(): void {
    const { clock } = this.#kept;
    const offsetMs = this.#clockOffsetMs;
    if (clock === undefined || offsetMs === undefined || offsetMs === clock.offsetMs) return;
    clock.correctBy(offsetMs);
    this.#kept.observe();
  }

  #keptPort(): KeptReplicaPort {
    return {
      changed: (touched) => this.#changed(touched),
      othersAnswered: () => this.#writes.settleGone(),
      sendable: () => this.#uplink?.flush(),
      fault: (fault) => {
        this.#storeError = fault;
        this.#statusChanged();
      },
      lead: () => this.#lead(),
      follow: () => {
        this.#uplink?.stop();
        this.#uplink = undefined;
      },
      status: () => {
        const { state, error }: ConnectionStatus = this.#uplink?.connection.status ?? {
          state: this.#isWanted ? 'connecting' : 'stopped',
        };
        const told = error && { message: error.message, code: Reflect.get(error, 'code') };
        const clockOffsetMs = this.#kept.clock?.offsetMs;
        return { isWanted: this.#isWanted, connection: state, error: told, clockOffsetMs };
      },
      heard: (told) => {
        this.#isWanted = told.isWanted;
        this.#told = { state: told.connection, error: told.error && toToldError(told.error) };
        this.#clockOffsetMs = told.clockOffsetMs;
        this.#correctClock();
        this.#statusChanged();
      },
      wish: (wish) => this.#carryOut(wish),
    };
  }

  #lead(): void {
    const { clock, tabs } = this.#kept;
    if (clock === undefined || this.#isClosed) return;
    const { url, databaseId, transport } = this.#options;
    const options = { url, databaseId, transport, token: this.#token };
    this.#uplink = new Uplink(this.#kept, clock, this.#environment, options, {
      statusChanged: () => {
        this.#statusChanged();
        tabs?.tellStatus();
      },
      settle: (id, fate) => this.#writes.settle(id, fate),
    });
    if (this.#isWanted) this.#uplink.connection.connect();
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
    const { state, error }: ConnectionStatus = this.#uplink?.connection.status ??
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
    return this.#statusListeners.add(listener);
  }

  #statusChanged(): void {
    this.#status = undefined;
    this.#statusListeners.notify();
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
    return this.#migrationListeners.add(listener);
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
    const make = () => new Table<T>(key, this.#replica, this.outcomes);
    return memberOf(this.#tables, key, make) as Table<T>;
  }

  /**
   * Writes to the replica at once, and to the server when it can be reached: as a whole.
   * @param write not async: edits that come after its end throw
   * @throws TypeError for a value or key that can't be stored; then nothing of it is written
   * @throws RangeError for more than 128 Mi characters of JSON
   */
  transact(write: (tx: Transaction) => void): Write {
    return this.#write(new Transaction().run(write), []);
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
    also: readonly StoreOperation[],
    migrations: readonly MigrationInput[] = [],
  ): Write {
    if (this.#isClosed) throw new Error('the client is closed');
    return this.#writes.make(edits, also, migrations);
  }

  #changed(touched: Touched): void {
    if (touched.outcomes) this.outcomes.changed(touched.migrations);
    // All of them forget before anybody is told: who is told of one may look at another.
    const tables = [...this.#tables.values()].filter((table) => table.forget(touched));
    for (const table of tables) table.notify();
    if (touched.outcomes) this.outcomes.notify();
    if (touched.migrations) this.#migrationListeners.notify();
    this.#statusChanged();
  }

  /** Connects, in whichever tab leads. */
  connect(): void {
    this.#wish({ isWanted: true });
  }

  /** Goes offline until `connect`, in all tabs. Reading and writing go on. */
  disconnect(): void {
    this.#wish({ isWanted: false });
  }

  /** From now on. Another tab that leads is told a text, and asks its own function otherwise. */
  setToken(token: Token): void {
    this.#token = token;
    this.#wish(typeof token === 'string' ? { token } : { renew: true });
  }

  #wish(wish: Wish): void {
    this.#carryOut(wish);
    this.#kept.tabs?.tellWish(wish);
  }

  #carryOut({ isWanted, token, renew }: Wish): void {
    if (token !== undefined) this.#token = token;
    const isNew = renew || token !== undefined;
    if (isNew && this.#token !== undefined) this.#uplink?.connection.setToken(this.#token);
    if (isWanted === undefined) return;
    this.#isWanted = isWanted;
    if (isWanted) this.#uplink?.connection.connect();
    else this.#uplink?.connection.stop();
  }

  /**
   * Ends everything. What was written is durable when it resolves.
   * @throws StoreError when the store can't take it: then it ends as well, and what it did not take is lost
   */
  close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#uplink?.stop();
      this.#closing = this.#kept.close();
    }
    return this.#closing;
  }
}

function toToldError({ message, code }: { message: string; code?: string }): Error {
  return code === undefined ? new Error(message) : new ServerError({ message, code });
}

export function createSyncClient(options: SyncClientOptions): SyncClient {
  return new SyncClient(options);
}
