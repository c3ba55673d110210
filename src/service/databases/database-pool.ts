/**
 * The open databases of a server. Opens a database at its first use, shares it, and closes it after
 * `storage.idleCloseMs` without a lease. There are never more than `storage.maxOpenDatabases`.
 */

import type { CoordinatorConfig } from '../../config/schema.ts';
import type { Maintained } from '../../engine/maintenance/maintenance.ts';
import { MergeMemory } from '../../engine/merge/merge-memory.ts';
import { ReplacedError } from '../../engine/records/head.ts';
import type { World } from '../../engine/world.ts';
import type { LimitName } from '../../errors/limit-names.ts';
import { SyncError, toSyncError } from '../../errors/sync-error.ts';
import type { BoundedLog } from '../../logging/bounded-log.ts';
import type { Logger } from '../../logging/logger.ts';
import { openUnlessAbsent } from '../../storage/absent-store.ts';
import { isDatabaseId } from '../../storage/database-id.ts';
import type { KVStore, Storage } from '../../storage/kv-store.ts';
import { Budget } from '../budgets/budget.ts';
import { DatabaseCount } from './database-count.ts';
import { type DatabaseLease, Lease } from './database-lease.ts';
import { DatabaseUpkeep } from './database-upkeep.ts';
import type { LogPinKeeper } from './log-pins.ts';
import { databasesThatFit, isOutOfFiles, openFilesMax } from './open-files.ts';
import { openDatabase } from './opened-database.ts';
import { type Database, inTheWay, type OpenedDatabase, PoolEntry } from './pool-entry.ts';

const OVERLOADED_RETRY_MS = 1000;
/** Has no database, as whoever comes first. */
const NOBODY_YET = '';

export interface DatabasePoolOptions {
  storage: Storage;
  config: CoordinatorConfig;
  world: World;
  logger: Logger;
  /** For failures that recur with every request. */
  faults: BoundedLog;
  logPins: Pick<LogPinKeeper, 'renew'>;
  /** Counts change sets that were pushed to sessions. */
  pushed(changeSets: number): void;
  /** Counts a limit that closes a database in use. */
  onLimit(limit: LimitName): void;
}

export class DatabasePool {
  readonly #options: DatabasePoolOptions;
  readonly #entries = new Map<string, PoolEntry>();
  readonly #closings = new Map<string, Promise<void>>();
  readonly #maxOpen: number;
  readonly #budget: Budget;
  readonly #count: DatabaseCount;
  readonly #upkeep: DatabaseUpkeep;
  readonly #mergeMemory: MergeMemory;
  #uses = 0;
  #closed = false;
  /**
   * The last attempt to open failed because too many files are open, and no database was closed
   * since.
   */
  #isOutOfFiles = false;

  constructor(options: DatabasePoolOptions) {
    this.#options = options;
    const { storage, logger, config } = options;
    this.#maxOpen = databasesThatFit({
      wanted: config.storage.maxOpenDatabases,
      filesPerDatabase: storage.filesPerDatabase,
      filesMax: openFilesMax(),
      logger,
    });
    const { sharePerUser } = config.limits;
    const limit = 'storage.maxOpenDatabases';
    this.#budget = new Budget({ limit, max: this.#maxOpen, sharePerUser });
    this.#mergeMemory = new MergeMemory(config.limits);
    this.#count = new DatabaseCount(storage, config.storage.maxDatabases);
    this.#upkeep = new DatabaseUpkeep({
      ...{ logger, logPins: options.logPins, everyMs: config.storage.maintenanceMs },
      settle: (id, run) => this.#settle(id, run),
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  get maintenanceCounts(): DatabaseUpkeep['counts'] {
    return this.#upkeep.counts;
  }

  /** The files of as many databases as may be open at once. */
  get filesMax(): number {
    return this.#maxOpen * (this.#options.storage.filesPerDatabase ?? 0);
  }

  /** Without those that are still being opened. */
  *open(): Generator<Database> {
    for (const { database } of this.#entries.values()) if (database !== undefined) yield database;
  }

  /** Why no database can be opened at the moment; `undefined` if one can. */
  get refusal(): SyncError | undefined {
    if (this.#isOutOfFiles) {
      return new SyncError('STORE_UNAVAILABLE', 'too many files are open (ulimit -n)');
    }
    if (this.#entries.size < this.#maxOpen || inTheWay(this.#entries, this.#budget, NOBODY_YET))
      return undefined;
    return this.#tooMany();
  }

  #tooMany(): SyncError {
    return new SyncError(
      'OVERLOADED',
      `storage.maxOpenDatabases (${this.#maxOpen}) databases are in use`,
      { retryAfterMs: OVERLOADED_RETRY_MS, limit: 'storage.maxOpenDatabases' },
    );
  }

  /**
   * @param holder whose share it counts for, see `budget.ts`
   * @throws SyncError INVALID_DATABASE_ID, OVERLOADED, SHUTTING_DOWN, or what the store throws
   */
  async acquire(id: string, holder?: string): Promise<DatabaseLease> {
    if (!isDatabaseId(id)) {
      throw new SyncError(
        'INVALID_DATABASE_ID',
        'a database id is 1 to 128 characters of A-Z a-z 0-9 _ : . -',
      );
    }
    if (this.#closed) throw new SyncError('SHUTTING_DOWN', 'the server is stopping');
    const known = this.#entries.get(id);
    if (holder !== undefined && !known?.leasesByHolder.has(holder)) this.#budget.demandRoom(holder);
    return this.#lease(id, known ?? this.#add(id, holder), holder);
  }

  async #lease(id: string, entry: PoolEntry, holder?: string): Promise<DatabaseLease> {
    entry.leases++;
    entry.takePlace(holder, this.#budget);
    entry.lastUsed = ++this.#uses;
    clearTimeout(entry.idleTimer);
    try {
      return new Lease(entry, await entry.opening, holder, this.#giveBack);
    } catch (error) {
      entry.leases--;
      entry.givePlaceBack(holder, this.#budget);
      if (this.#entries.get(id) === entry) this.#entries.delete(id);
      const what = `database ${id} cannot be opened`;
      this.#options.faults.addError('opening databases', holder, error, what);
      throw toSyncError(error, 'STORE_UNAVAILABLE', 'the database cannot be opened');
    }
  }

  readonly #giveBack = ({ id, entry, holder }: Lease): void => {
    entry.givePlaceBack(holder, this.#budget);
    this.#release(id, entry);
  };

  #release(id: string, entry: PoolEntry): void {
    entry.leases--;
    if (entry.leases > 0 || this.#entries.get(id) !== entry) return;
    const { idleCloseMs } = this.#options.config.storage;
    entry.idleTimer = setTimeout(() => this.#retire(id, entry), idleCloseMs);
    entry.idleTimer.unref();
  }

  #add(id: string, holder: string | undefined): PoolEntry {
    // A database that makes room no longer counts while it closes. A request for it waits for that.
    if (this.#entries.size >= this.#maxOpen && !this.#closeInTheWay(holder)) throw this.#tooMany();
    const entry = new PoolEntry((opened) => this.#open(id, opened));
    this.#entries.set(id, entry);
    entry.opening.then(
      (database) => {
        entry.database = database;
        // The entry may have been closed while it was being opened.
        if (this.#entries.get(id) === entry) entry.upkeep = this.#upkeep.start(database);
      },
      () => undefined,
    );
    return entry;
  }

  /**
   * @param holder for whom; `undefined` for nobody to whom others would give way
   * @returns resolves once it is closed; `undefined` if all databases are in use
   */
  #closeInTheWay(holder?: string): Promise<void> | undefined {
    const [id, entry] = inTheWay(this.#entries, this.#budget, holder) ?? [];
    if (id === undefined || entry === undefined) return undefined;
    if (entry.leases > 0) this.#options.onLimit('storage.maxOpenDatabases');
    const closing = this.#close(id, entry);
    this.#settle(id, closing);
    return closing;
  }

  /** While too many files are open, closes idle databases one by one and tries again. */
  async #openStore(id: string): Promise<KVStore> {
    for (;;) {
      try {
        const store = await this.#options.storage.open(id);
        this.#isOutOfFiles = false;
        return store;
      } catch (error) {
        if (!isOutOfFiles(error) || this.#closed) throw error;
        // Leave out its own closing, which would wait for this opening.
        const others = [...this.#closings].filter(([closed]) => closed !== id);
        const closing = others[0]?.[1] ?? this.#closeInTheWay();
        this.#isOutOfFiles = closing === undefined;
        if (closing === undefined) throw error;
        await closing.catch(() => undefined);
      }
    }
  }

  async #open(id: string, entry: PoolEntry): Promise<OpenedDatabase> {
    const { storage, config, world, logger } = this.#options;
    await this.#closings.get(id);
    const { store, seed } = await openUnlessAbsent(storage, id, (isNew) =>
      isNew ? this.#count.oneMore(() => this.#openStore(id)) : this.#openStore(id),
    );
    const database = await openDatabase(id, store, {
      ...{ config, world, mergeMemory: this.#mergeMemory, newSiteId: seed },
      onStoreFailed: (error) => {
        if (!store.recovers || error instanceof ReplacedError) this.#replace(id, entry);
      },
      pushed: this.#options.pushed,
    });
    logger('database %s is open', id);
    return database;
  }

  /** Runs maintenance on a database now, even if there is little to gain. */
  async maintain(id: string): Promise<Maintained> {
    const lease = await this.acquire(id);
    try {
      return await this.#upkeep.maintain(lease, { thorough: true });
    } finally {
      lease.release();
    }
  }

  /**
   * Maintains an idle database before it closes: one that is never open for long would otherwise
   * never be maintained.
   */
  #retire(id: string, entry: PoolEntry): void {
    const retire = async () => {
      try {
        await entry.upkeep?.run();
      } finally {
        if (entry.leases === 0 && this.#entries.get(id) === entry) await this.#close(id, entry);
      }
    };
    this.#settle(id, retire());
  }

  /**
   * A store that failed to write accepts no more writes, and a replaced one is another database.
   * Closes it, so that the next request opens it again.
   */
  #replace(id: string, entry: PoolEntry): void {
    // All its pending work fails as well. By then a new entry may have taken its place.
    if (this.#entries.get(id) === entry) this.#settle(id, this.#close(id, entry));
  }

  /** For background work: its failure is logged, since no caller waits for it. */
  #settle(id: string, work: Promise<void>): void {
    const { faults } = this.#options;
    work.catch((error: unknown) =>
      faults.addError('keeping databases', undefined, error, `database ${id}`),
    );
  }

  #close(id: string, entry: PoolEntry): Promise<void> {
    clearTimeout(entry.idleTimer);
    entry.upkeep?.stop();
    this.#entries.delete(id);
    entry.givePlacesBack(this.#budget);
    const closing = this.#closeStore(entry).finally(() => {
      if (this.#closings.get(id) === closing) this.#closings.delete(id);
    });
    this.#closings.set(id, closing);
    return closing;
  }

  async #closeStore(entry: PoolEntry): Promise<void> {
    const database = await entry.opening.catch(() => undefined);
    if (database === undefined) return;
    await database.manager.close();
    // Let pending answers be sent before the sockets close.
    await new Promise(setImmediate);
    database.sessions.close();
    await database.store.close();
    this.#isOutOfFiles = false;
    this.#options.logger('database %s is closed', database.id);
  }

  /** Closes all databases, even those with leases. Later `acquire` calls reject. */
  async close(): Promise<void> {
    this.#closed = true;
    const closings = [...this.#entries].map(([id, entry]) => this.#close(id, entry));
    await Promise.allSettled([...closings, ...this.#closings.values()]);
  }
}
