/**
 * The maintenance of a database: it empties dropped tables, forgets tombstones past their time, and
 * compacts the log. It works in steps, between which writers have their turn.
 */

import { compareHlc, HLC_MIN, type HlcText, minHlc } from '../../clock/hlc.ts';
import type { Logger } from '../../logging/logger.ts';
import type { KVStore } from '../../storage/kv-store.ts';
import { type LogPins, readPinnedAfter } from '../log/log-pins.ts';
import type { LogReaders } from '../log/log-readers.ts';
import { StepBudget } from '../merge/step-budget.ts';
import { type EmptyingContext, emptySome } from '../merge/table-emptying.ts';
import type { CommittedState, WriteTransaction } from '../merge/write-transaction.ts';
import { readHorizon } from '../records/head.ts';
import { logKeyToPosition } from '../records/keys.ts';
import { canBeEmptied, destinationOf, emptyingMark } from '../tables/ended-tables.ts';
import {
  type CompactionPlan,
  type CompactionScope,
  planCompaction,
  replaceRecords,
} from './compaction.ts';
import { DdlPruning } from './ddl-pruning.ts';
import { expireDrops, expireTombstones } from './retention.ts';

/**
 * The log is compacted once this share of its changes has been replaced, so that the work is spread
 * evenly.
 */
const REPLACED_SHARE_MIN = 1 / 4;
const REPLACED_MIN = 100;
/** After so many plans that DDL made useless, a step is planned while writers wait. */
const PLANS_MISSED_MAX = 3;
/** The least time between two passes over the tombstones. */
const EXPIRY_INTERVAL_MS = 60 * 60 * 1000;

/** The database, as far as maintenance needs it. */
export interface TidiedDatabase {
  store: KVStore;
  logPins: Pick<LogPins, 'removeLapsed'>;
  readers: Pick<LogReaders, 'keepAfter'>;
  state(): CommittedState;
  /**
   * Runs a step between two groups of writers, in a transaction of its own, and makes its result
   * the state.
   */
  tidy<T>(step: (transaction: WriteTransaction) => Promise<T>): Promise<T>;
}

export interface MaintenanceOptions extends EmptyingContext {
  now(): number;
  /** Lets other work run. */
  yield(): Promise<void>;
  logger: Logger;
  tombstoneTTL: number;
}

export interface MaintainOptions {
  /** Ends it after the current step. */
  signal?: AbortSignal | undefined;
  /** Does everything now, even if it is not due or not worth it. */
  thorough?: boolean;
  /**
   * This process still reads the log from here: the log after it is not compacted. For what has to
   * hold for every process or beyond a restart there are log pins.
   */
  keepAfter?: HlcText | undefined;
}

/** What has been done. */
export interface Maintained {
  tombstonesExpired: number;
  /** Changes removed from the log. */
  changesCompacted: number;
  /** The names of log pins that were removed, since their owners had not renewed them. */
  logPinsLapsed: string[];
}

export class Maintenance {
  readonly #database: TidiedDatabase;
  readonly #options: MaintenanceOptions;
  readonly #pruning: DdlPruning;
  #nextExpiryMs = 0;
  #running: Promise<unknown> = Promise.resolve();
  #emptying: Promise<void> | undefined;

  constructor(database: TidiedDatabase, options: MaintenanceOptions) {
    this.#database = database;
    this.#options = options;
    this.#pruning = new DdlPruning({
      state: database.state,
      tidy: database.tidy,
      yield: () => options.yield(),
      pace: options.pace,
    });
  }

  /** Runs calls one after the other. */
  run(options: MaintainOptions = {}): Promise<Maintained> {
    const run = this.#running.then(() => this.#run(options));
    this.#running = run.catch(() => undefined);
    return run;
  }

  async #run(options: MaintainOptions): Promise<Maintained> {
    await this.emptyTables(options.signal);
    const tombstonesExpired = await this.#expire(options);
    await this.#pruning.run(options);
    const logPinsLapsed = await this.#database.logPins.removeLapsed();
    const changesCompacted = await this.#compact(options);
    if (changesCompacted > 0) await this.#database.store.reclaimSpace?.();
    return { tombstonesExpired, changesCompacted, logPinsLapsed };
  }

  /** Whether a dropped table can be emptied further. */
  get hasTablesToEmpty(): boolean {
    return this.#nextToEmpty() !== undefined;
  }

  #nextToEmpty(): number | undefined {
    const { catalog } = this.#database.state();
    for (const table of catalog.unsettled()) if (canBeEmptied(catalog, table)) return table.id;
    return undefined;
  }

  /** Empties dropped tables until none is left. Calls meanwhile wait for the same work. */
  emptyTables(signal?: AbortSignal): Promise<void> {
    this.#emptying ??= this.#emptyTables(signal).finally(() => {
      this.#emptying = undefined;
    });
    return this.#emptying;
  }

  /**
   * Resolves once what a site has written is in the tables in which it belongs: what moves later it is not
   * told, since it is its own.
   * @param authored its newest HLC; `undefined` if it has written nothing
   */
  async settle(authored: HlcText | undefined): Promise<void> {
    if (authored === undefined) return;
    for (let id = this.#moving(authored); id !== undefined; id = this.#moving(authored)) {
      // Not with all others, which may have many rows that only go.
      await this.#emptyTable(id, undefined);
    }
  }

  /** A table of which something of a site's may still have to move to the one that has come to its place. */
  #moving(authored: HlcText): number | undefined {
    const { catalog } = this.#database.state();
    for (const table of catalog.unsettled()) {
      const { table: into, floor } = destinationOf(catalog, table);
      const moves = into !== undefined && canBeEmptied(catalog, table);
      if (moves && compareHlc(authored, floor) > 0) return table.id;
    }
    return undefined;
  }

  async #emptyTables(signal: AbortSignal | undefined): Promise<void> {
    for (let id = this.#nextToEmpty(); id !== undefined; id = this.#nextToEmpty()) {
      await this.#emptyTable(id, signal);
      if (signal?.aborted) return;
    }
  }

  async #emptyTable(id: number, signal: AbortSignal | undefined): Promise<void> {
    let after: Uint8Array | undefined;
    let mark: string | undefined;
    do {
      const done = await this.#database.tidy(async (transaction) => {
        const { catalog } = transaction;
        const table = catalog.table(id);
        if (table === undefined) return undefined;
        // It was dropped again, or its name means another table by now: begin again with its first
        // row.
        const markNow = emptyingMark(catalog, table);
        const from = markNow === mark ? after : undefined;
        const budget = new StepBudget(this.#options);
        const { next } = await emptySome(transaction, id, from, budget, this.#options);
        return { next, mark: markNow };
      });
      after = done?.next;
      mark = done?.mark;
      await this.#options.yield();
    } while (after !== undefined && !signal?.aborted);
  }

  async #expire({ signal, thorough }: MaintainOptions): Promise<number> {
    const { now, tombstoneTTL } = this.#options;
    if (!thorough && now() < this.#nextExpiryMs) return 0;
    const beforeMs = now() - tombstoneTTL;
    let expired = 0;
    let from: Uint8Array | undefined;
    do {
      const isFirst = from === undefined;
      const step = await this.#database.tidy(async ({ store, head }) => {
        const result = await expireTombstones(store, beforeMs, head.position, from);
        // The deletions are still in the log, and delete nothing any more.
        head.changesReplaced += result.removed;
        return result;
      });
      if (isFirst) {
        await this.#database.tidy(({ store, base }) => expireDrops(store, base, beforeMs));
      }
      expired += step.removed;
      from = step.next;
      await this.#options.yield();
    } while (from !== undefined && !signal?.aborted);
    if (from !== undefined) return expired;
    // Not only when the log is compacted: names that are used again and again have room for a few.
    this.#pruning.begin(await readHorizon(this.#database.store), { thorough });
    this.#nextExpiryMs = now() + Math.min(EXPIRY_INTERVAL_MS, tombstoneTTL);
    return expired;
  }

  #isWorthwhile(): boolean {
    const { changesLogged, changesReplaced } = this.#database.state().head;
    return changesReplaced >= REPLACED_MIN && changesReplaced >= changesLogged * REPLACED_SHARE_MIN;
  }

  /** One pass over the log. */
  async #compact({ signal, thorough, keepAfter }: MaintainOptions): Promise<number> {
    if (!thorough && !this.#isWorthwhile()) return 0;
    const { store, state, tidy, readers } = this.#database;
    const { position, changesReplaced: replacedBefore } = state().head;
    const horizon = await readHorizon(store);
    const pinnedAfter = await readPinnedAfter(store);
    const kept = [keepAfter, pinnedAfter, readers.keepAfter];
    const upTo = kept.reduce<HlcText>((least, after = position) => minHlc(least, after), position);
    let after: HlcText | undefined = HLC_MIN;
    let gone = 0;
    let unexplained = 0;
    let missed = 0;
    while (after !== undefined && !signal?.aborted) {
      const scope = { upTo, horizon };
      const step: CompactedStep | undefined =
        missed < PLANS_MISSED_MAX
          ? await this.#compactBeside(after, scope)
          : await tidy((transaction) => compactWithin(transaction, after ?? HLC_MIN, scope));
      // DDL changed the catalog meanwhile: plan the step again.
      missed = step === undefined ? missed + 1 : 0;
      if (step === undefined) continue;
      gone += step.changesGone;
      unexplained += step.unexplained;
      after = step.next;
    }
    if (after === undefined && upTo === position) {
      await tidy(async ({ head }) => {
        // Changes counted as replaced before the pass are gone, or were counted wrongly.
        head.changesReplaced = Math.max(0, head.changesReplaced - replacedBefore);
      });
    }
    const { logger } = this.#options;
    logger('compacted the log up to %s: %d changes removed', upTo, gone);
    if (unexplained > 0) {
      logger.error(
        'the log holds %d changes that no stored row accounts for: run `sync-coordinator verify`',
        unexplained,
      );
    }
    return gone;
  }

  /**
   * One step, planned while writers go on.
   * @returns `undefined` if the catalog has changed meanwhile
   */
  async #compactBeside(after: HlcText, scope: CompactionScope): Promise<CompactedStep | undefined> {
    const { store, state, tidy } = this.#database;
    const { catalog, head } = state();
    const plan = await planCompaction(store, catalog, after, scope);
    await this.#options.yield();
    const { next, unexplained, replacements } = plan;
    if (replacements.length === 0) return { next, unexplained, changesGone: 0 };
    const changesGone = await tidy(async (transaction) =>
      transaction.head.catalogVersion === head.catalogVersion
        ? replaceUnpinned(transaction, plan)
        : undefined,
    );
    return changesGone === undefined ? undefined : { next, unexplained, changesGone };
  }
}

/** The result of a step over the log. */
interface CompactedStep extends Pick<CompactionPlan, 'next' | 'unexplained'> {
  changesGone: number;
}

/**
 * One step, planned while writers wait: it makes progress even if DDL changes the catalog all the
 * time.
 */
async function compactWithin(
  transaction: WriteTransaction,
  after: HlcText,
  scope: CompactionScope,
): Promise<CompactedStep> {
  const plan = await planCompaction(transaction.store, transaction.catalog, after, scope);
  const changesGone = await replaceUnpinned(transaction, plan);
  return { next: plan.next, unexplained: plan.unexplained, changesGone };
}

/**
 * Another process may have pinned the log since the pass began, so the pins are read in the
 * transaction that writes.
 */
async function replaceUnpinned(
  transaction: WriteTransaction,
  { replacements }: CompactionPlan,
): Promise<number> {
  const { store, head } = transaction;
  const pinnedAfter = (await readPinnedAfter(store)) ?? head.position;
  const free = replacements.filter(
    ({ key }) => compareHlc(logKeyToPosition(key), pinnedAfter) <= 0,
  );
  return replaceRecords(transaction, free);
}
