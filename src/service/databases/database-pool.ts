/**
 * The open databases of a server. Opens a database at its first use, shares it, and closes it after
 * `storage.idleCloseMs` without a lease. There are never more than `storage.maxOpenDatabases`.
 */

import type { LimitName } from '../../errors/limit-names.ts';
import { SyncError, toSyncError } from '../../errors/sync-error.ts';
import type { BoundedLog } from '../../logging/bounded-log.ts';
import type { Logger } from '../../logging/logger.ts';
import { assertDatabaseId } from '../../storage/database-id.ts';
import { Budget } from '../budgets/budget.ts';
import { CatalogMemory } from './catalog-memory.ts';
import { type DatabaseLease, Lease } from './database-lease.ts';
import { DatabaseOpener, type OpenerOptions } from './database-opener.ts';
import { DatabaseUpkeep } from './database-upkeep.ts';
import type { LogPinKeeper } from './log-pins.ts';
import { databasesThatFit, openFilesMax } from './open-files.ts';
import { type Database, inTheWay, type OpenedDatabase, PoolEntry } from './pool-entry.ts';

const OVERLOADED_RETRY_MS = 1000;
/** Has no database, as whoever comes first. */
const NOBODY_YET = '';

export interface DatabasePoolOptions extends OpenerOptions {
  logger: Logger;
  /** For failures that recur with every request. */
  faults: BoundedLog;
  logPins: Pick<LogPinKeeper, 'renew'>;
  /** Counts a limit that closes a database in use. */
  onLimit(limit: LimitName): void;
}

export class DatabasePool {
  readonly #options: DatabasePoolOptions;
  readonly #entries = new Map<string, PoolEntry>();
  readonly #closings = new Map<string, Promise<void>>();
  readonly #maxOpen: number;
  readonly #budget: Budget;
  readonly #opener: DatabaseOpener;
  readonly #upkeep: DatabaseUpkeep;
  readonly #catalogs: CatalogMemory;
  #uses = 0;
  #closed = false;

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
    this.#opener = new DatabaseOpener(options, (id) => this.#makeFiles(id));
    this.#catalogs = new CatalogMemory({
      ...{ limits: config.limits, onLimit: options.onLimit },
      close: (entry) => this.#makeRoom(entry),
    });
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

  /** What the catalogs of open databases take of the memory. */
  get catalogBytes(): number {
    return this.#catalogs.held;
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
    if (this.#opener.isOutOfFiles) {
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
    assertDatabaseId(id);
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
      if (!(error instanceof SyncError) || error.limit === undefined) {
        const what = `database ${id} cannot be opened`;
        this.#options.faults.addError('opening databases', holder, error, what);
      }
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
    const entry = new PoolEntry(id, (opened) => this.#open(id, opened));
    this.#entries.set(id, entry);
    entry.opening.then(
      (database) => {
        entry.database = database;
        // The entry may have been closed while it was being opened.
        if (this.#entries.get(id) === entry) entry.upkeep = this.#upkeep.start(database);
      },
      () => this.#catalogs.forget(entry),
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
    return this.#makeRoom(entry);
  }

  /** @returns resolves once it is closed, however that went */
  #makeRoom(entry: PoolEntry): Promise<void> {
    const { id } = entry;
    if (entry.closing === undefined) this.#settle(id, this.#close(id, entry));
    return entry.closing ?? Promise.resolve();
  }

  /** Closes an idle database other than `id`. @returns `undefined` if there is none */
  #makeFiles(id: string): Promise<void> | undefined {
    if (this.#closed) return undefined;
    // Its own closing would wait for this opening.
    const others = [...this.#closings].filter(([closed]) => closed !== id);
    return others[0]?.[1] ?? this.#closeInTheWay();
  }

  async #open(id: string, entry: PoolEntry): Promise<OpenedDatabase> {
    await this.#closings.get(id);
    const database = await this.#opener.open(id, {
      catalogRoom: this.#catalogs.roomOf(entry),
      replace: () => this.#replace(id, entry),
    });
    this.#options.logger('database %s is open', id);
    return database;
  }

  /** Runs maintenance on a database now, even if there is little to gain. */
  async maintain(id: string) {
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
      this.#catalogs.forget(entry);
      if (this.#closings.get(id) === closing) this.#closings.delete(id);
    });
    this.#closings.set(id, closing);
    entry.closing = closing.catch(() => undefined);
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
    this.#opener.isOutOfFiles = false;
    this.#options.logger('database %s is closed', database.id);
  }

  /** Closes all databases, even those with leases. Later `acquire` calls reject. */
  async close(): Promise<void> {
    this.#closed = true;
    const closings = [...this.#entries].map(([id, entry]) => this.#close(id, entry));
    await Promise.allSettled([...closings, ...this.#closings.values()]);
  }
}
