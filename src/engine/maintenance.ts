/**
 * Tidying up a database behind its writers: tombstones past their time are forgotten, dropped
 * tables cleared away, and what later changes have replaced leaves the log. All of it in steps,
 * between which writers have their turn.
 */

import { compareHlc, HLC_MIN, type HlcText, minHlc } from '../clock/hlc.ts';
import type { Logger } from '../logger.ts';
import type { KVStore, KVTransaction } from '../storage/kv-store.ts';
import type { Catalog } from './catalog.ts';
import { planCompaction, replaceRecords } from './compaction.ts';
import { type Head, readHorizon, writeHead } from './head.ts';
import { logKeyToPosition } from './keys.ts';
import { type LogPins, readPinnedAfter } from './log-pins.ts';
import { clearDroppedTable, expireTombstones } from './retention.ts';

/** A log is read through when about so much of it has been replaced: the work is shared out evenly. */
const REPLACED_SHARE_MIN = 1 / 4;
const REPLACED_MIN = 100;
/** Tombstones are looked through no more often than this. */
const EXPIRY_INTERVAL_MS = 60 * 60 * 1000;

/** What a step leaves of the database's records. */
export interface Tidied<T> {
  head: Head;
  catalog: Catalog;
  result: T;
}

export type TidyStep<T> = (
  transaction: KVTransaction,
  head: Head,
  catalog: Catalog,
) => Promise<Tidied<T>>;

/** The database, as far as tidying up needs it. */
export interface TidiedDatabase {
  store: KVStore;
  head(): Head;
  catalog(): { catalog: Catalog; version: number };
  logPins: Pick<LogPins, 'removeLapsed'>;
  /** Runs a step between two groups of writers, and makes what it leaves the state. */
  tidy<T>(step: TidyStep<T>): Promise<T>;
}

export interface MaintenanceOptions {
  now(): number;
  /** Lets others have their turn. */
  yield(): Promise<void>;
  logger: Logger;
  tombstoneTTL: number;
}

export interface MaintainOptions {
  /** Ends it after the step under way. */
  signal?: AbortSignal | undefined;
  /** Does everything now, whether it is worth the while or not. */
  thorough?: boolean;
  /**
   * This process still reads the log from here: what stands after it is left as it is. What has to
   * hold for every process, or beyond a restart, is a log pin.
   */
  keepAfter?: HlcText | undefined;
}

/** What has been done. */
export interface Maintained {
  tombstonesExpired: number;
  /** Changes that have left the log. */
  changesCompacted: number;
  /** The names of log pins that hold nothing any more, since nobody had renewed them. */
  logPinsLapsed: string[];
}

export class Maintenance {
  readonly #database: TidiedDatabase;
  readonly #options: MaintenanceOptions;
  #nextExpiryMs = 0;
  #running: Promise<unknown> = Promise.resolve();

  constructor(database: TidiedDatabase, options: MaintenanceOptions) {
    this.#database = database;
    this.#options = options;
  }

  /** One after the other, however many ask. */
  run(options: MaintainOptions = {}): Promise<Maintained> {
    const run = this.#running.then(() => this.#run(options));
    this.#running = run.catch(() => undefined);
    return run;
  }

  async #run(options: MaintainOptions): Promise<Maintained> {
    const tombstonesExpired = await this.#expire(options);
    await this.#clearDropped(options);
    const logPinsLapsed = await this.#database.logPins.removeLapsed();
    const changesCompacted = await this.#compact(options);
    if (changesCompacted > 0) await this.#database.store.reclaimSpace?.();
    return { tombstonesExpired, changesCompacted, logPinsLapsed };
  }

  async #expire({ signal, thorough }: MaintainOptions): Promise<number> {
    const { now, tombstoneTTL } = this.#options;
    if (!thorough && now() < this.#nextExpiryMs) return 0;
    const beforeMs = now() - tombstoneTTL;
    let expired = 0;
    let from: Uint8Array | undefined;
    do {
      const step = await this.#database.tidy(async (transaction, head, catalog) => {
        const result = await expireTombstones(transaction, beforeMs, head.position, from);
        // The deletions stand in the log, and delete nothing any more.
        const changesReplaced = (head.changesReplaced ?? 0) + result.removed;
        const next = result.removed === 0 ? head : { ...head, changesReplaced };
        if (next !== head) writeHead(next, transaction);
        return { head: next, catalog, result };
      });
      expired += step.removed;
      from = step.next;
      await this.#options.yield();
    } while (from !== undefined && !signal?.aborted);
    if (from === undefined) this.#nextExpiryMs = now() + Math.min(EXPIRY_INTERVAL_MS, tombstoneTTL);
    return expired;
  }

  async #clearDropped({ signal }: MaintainOptions): Promise<void> {
    for (const table of this.#database.catalog().catalog.tables.values()) {
      if (!table.dropped) continue;
      while (!signal?.aborted && !(await this.#clearSome(table.id))) await this.#options.yield();
    }
  }

  #clearSome(tableId: number): Promise<boolean> {
    return this.#database.tidy(async (transaction, head, known) => {
      const catalog = known.fork();
      const table = catalog.tables.get(tableId);
      const gone = table === undefined || (await clearDroppedTable(transaction, catalog, table));
      if (!gone) return { head, catalog: known, result: false };
      const next = { ...head, catalogVersion: head.catalogVersion + 1 };
      writeHead(next, transaction);
      return { head: next, catalog, result: true };
    });
  }

  #isWorthwhile(): boolean {
    const { changesLogged, changesReplaced } = this.#database.head();
    // A store of before these were counted: nobody knows.
    if (changesLogged === undefined || changesReplaced === undefined) return true;
    return changesReplaced >= REPLACED_MIN && changesReplaced >= changesLogged * REPLACED_SHARE_MIN;
  }

  /** One pass over the log. */
  async #compact({ signal, thorough, keepAfter }: MaintainOptions): Promise<number> {
    if (!thorough && !this.#isWorthwhile()) return 0;
    const { store, head } = this.#database;
    const { position, changesReplaced: replacedBefore = 0 } = head();
    const horizon = await readHorizon(store);
    const pinnedAfter = await readPinnedAfter(store);
    const upTo = minHlc(minHlc(keepAfter ?? position, pinnedAfter ?? position), position);
    let after: HlcText | undefined = HLC_MIN;
    let gone = 0;
    let unexplained = 0;
    while (after !== undefined && !signal?.aborted) {
      const { catalog, version } = this.#database.catalog();
      const plan = await planCompaction(store, catalog, after, { upTo, horizon });
      await this.#options.yield();
      if (plan.replacements.length > 0) {
        const changesGone = await this.#replace(plan.replacements, version);
        // Tables were made or dropped meanwhile: judge once more.
        if (changesGone === undefined) continue;
        gone += changesGone;
      }
      unexplained += plan.unexplained;
      after = plan.next;
    }
    if (after === undefined && upTo === position) await this.#notePass(replacedBefore);
    const { logger } = this.#options;
    logger('compacted the log to %s: %d changes have left it', upTo, gone);
    if (unexplained > 0) {
      logger.error(
        'the log holds %d changes that the rows know nothing of: `sync-coordinator verify` tells more',
        unexplained,
      );
    }
    return gone;
  }

  #replace(
    replacements: Parameters<typeof replaceRecords>[2],
    version: number,
  ): Promise<number | undefined> {
    return this.#database.tidy(async (transaction, head, catalog) => {
      if (head.catalogVersion !== version) return { head, catalog, result: undefined };
      // Another process may have pinned the log since the pass began: what counts is what the store
      // says while nobody else writes to it.
      const pinnedAfter = (await readPinnedAfter(transaction)) ?? head.position;
      const free = replacements.filter(
        ({ key }) => compareHlc(logKeyToPosition(key), pinnedAfter) <= 0,
      );
      const replaced = await replaceRecords(transaction, head, free);
      writeHead(replaced.head, transaction);
      return { head: replaced.head, catalog, result: replaced.changesGone };
    });
  }

  /** What counted as replaced before the pass is gone, or turned out not to have been. */
  #notePass(replacedBefore: number): Promise<void> {
    return this.#database.tidy(async (transaction, head, catalog) => {
      const { changesLogged = 0, changesReplaced = 0 } = head;
      const left = Math.max(0, changesReplaced - replacedBefore);
      const next = { ...head, changesLogged, changesReplaced: left };
      writeHead(next, transaction);
      return { head: next, catalog, result: undefined };
    });
  }
}
