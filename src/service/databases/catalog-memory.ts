/**
 * The memory for the catalogs of all open databases, `limits.catalogBytes`. A catalog is as large as
 * its users have made it, and in memory for as long as its database is open.
 *
 * A catalog takes room while it is read, and before it grows. Where there is none, databases that
 * nobody uses are closed, and then those of whoever has more than twice as much as the one that
 * asks: but only if that is enough. An opening waits for that, a batch is told to come again. A
 * catalog that is larger than all the room is read as the only one.
 */

import { getHeapStatistics } from 'node:v8';
import type { CatalogRoom } from '../../engine/tables/catalog-memory.ts';
import type { LimitName } from '../../errors/limit-names.ts';
import { SyncError } from '../../errors/sync-error.ts';
import { bytesByHolder, giversOf, leastOf } from './catalog-givers.ts';
import type { PoolEntry } from './pool-entry.ts';

const HEAP_PART = 4;
const RETRY_MS = 1000;

export interface CatalogMemoryOptions {
  limits: {
    /** Default: a quarter of what the heap may be. */
    catalogBytes?: number | undefined;
    /** In percent. */
    sharePerUser: number;
  };
  /** Closes a database to make room. Resolves once it's closed, however that went. */
  close(entry: PoolEntry): Promise<void>;
  /** Counts a limit that closes a database in use. */
  onLimit(limit: LimitName): void;
}

export class CatalogMemory {
  readonly #options: CatalogMemoryOptions;
  readonly #max: number;
  /** Those that are being opened and closed, too. */
  readonly #entries = new Set<PoolEntry>();

  constructor(options: CatalogMemoryOptions) {
    const { catalogBytes } = options.limits;
    this.#options = options;
    this.#max = catalogBytes ?? Math.floor(getHeapStatistics().heap_size_limit / HEAP_PART);
  }

  /** What all catalogs take. */
  get held(): number {
    return sumOf(this.#entries);
  }

  /** The room of a database, until `forget`. */
  roomOf(entry: PoolEntry): CatalogRoom {
    this.#entries.add(entry);
    return {
      read: (bytes) => (this.#take(entry, bytes) ? undefined : this.#wait(entry, bytes)),
      grow: (bytes) => this.#grow(entry, bytes),
      hold: (bytes) => this.#hold(entry, bytes),
    };
  }

  /** The database is closed, or could not be opened. */
  forget(entry: PoolEntry): void {
    this.#entries.delete(entry);
  }

  /** What others have to give back, if need be all of it. */
  #missing(entry: PoolEntry, bytes: number): number {
    const others = this.held - entry.catalogBytes;
    return Math.min(others, others + bytes - this.#max);
  }

  /** @throws SyncError OVERLOADED when its users have their share */
  #take(entry: PoolEntry, bytes: number): boolean {
    this.#demandShare(entry, bytes);
    if (this.#missing(entry, bytes) > 0) return false;
    entry.catalogBytes = bytes;
    return true;
  }

  async #wait(entry: PoolEntry, bytes: number): Promise<void> {
    do {
      const closed = this.#makeRoom(entry, bytes);
      if (closed === undefined) throw this.#overloaded();
      await closed;
    } while (!this.#take(entry, bytes));
  }

  #grow(entry: PoolEntry, bytes: number): void {
    if (bytes <= entry.catalogBytes) return;
    if (bytes > this.#max) {
      const limit = 'limits.catalogBytes';
      const what = 'bytes of memory for tables, names and DDL';
      throw new SyncError('TOO_LARGE', `more than ${limit} (${this.#max}) ${what}`, { limit });
    }
    if (this.#take(entry, bytes)) return;
    // By the time that it comes again.
    this.#makeRoom(entry, bytes);
    throw this.#overloaded();
  }

  #hold(entry: PoolEntry, bytes: number): void {
    if (bytes === entry.catalogBytes || !this.#entries.has(entry)) return;
    entry.catalogBytes = bytes;
    // Another process has made it larger. Whoever uses it has to open it anew, where there is room.
    if (this.#missing(entry, bytes) > 0 && this.#makeRoom(entry, bytes) === undefined) {
      this.#close([entry]);
    }
  }

  /**
   * A database alone may take more than a share. One that several use counts for whoever of them
   * has least.
   */
  #demandShare(entry: PoolEntry, bytes: number): void {
    const { sharePerUser } = this.#options.limits;
    const share = (this.#max * sharePerUser) / 100;
    const isMet = (taken: number) => taken > 0 && taken + bytes > share;
    // Mostly all together have less, and nobody needs to be looked at.
    if (sharePerUser === 100 || !isMet(this.held - entry.catalogBytes)) return;
    const taken = leastOf(entry, bytesByHolder(this.#entries, entry));
    if (taken === undefined || !isMet(taken)) return;
    throw new SyncError(
      'OVERLOADED',
      `this user or address has its share of limits.catalogBytes: limits.sharePerUser (${sharePerUser} %) of ${this.#max}`,
      { retryAfterMs: RETRY_MS, limit: 'limits.sharePerUser' },
    );
  }

  /** @returns resolves when there may be room; `undefined` if nobody can make enough */
  #makeRoom(entry: PoolEntry, bytes: number): Promise<unknown> | undefined {
    const others = [...this.#entries].filter((other) => other !== entry);
    // One that is closed before it is open may itself wait for room.
    const closing = others.filter((other) => other.closing && other.database !== undefined);
    const missing = this.#missing(entry, bytes) - sumOf(closing);
    if (missing <= 0) return Promise.race(closing.map((other) => other.closing));
    const givers = giversOf(others, entry, bytes, missing);
    return givers === undefined ? undefined : this.#close(givers);
  }

  #close(entries: readonly PoolEntry[]): Promise<unknown> {
    for (const { leases } of entries) if (leases > 0) this.#options.onLimit('limits.catalogBytes');
    return Promise.all(entries.map((entry) => this.#options.close(entry)));
  }

  #overloaded(): SyncError {
    return new SyncError(
      'OVERLOADED',
      `limits.catalogBytes (${this.#max}) are taken by databases that are in use`,
      { retryAfterMs: RETRY_MS, limit: 'limits.catalogBytes' },
    );
  }
}

function sumOf(entries: Iterable<PoolEntry>): number {
  let bytes = 0;
  for (const { catalogBytes } of entries) bytes += catalogBytes;
  return bytes;
}
