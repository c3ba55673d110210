/**
 * Gives the batches of a database with a serial module one turn at a time. A turn lasts from
 * judging to storing, so that what the validators read still holds when the batch is merged. If
 * another server writes to the same store meanwhile, the merge finds out, and the batch is judged
 * again.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { HlcText } from '../../clock/hlc.ts';
import { StaleReadError } from '../../engine/merge/batch.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { DatabaseAccess } from '../access/open-database.ts';

const TRIES_MAX = 10;
const RETRY_AFTER_MS = 1000;

/** What the work of a turn needs. */
export interface Turn {
  /** The end of the log, as long as nothing has been written since. */
  expected: HlcText;
  /** Runs the validators, so that calls they make during the turn are recognised as theirs. */
  judge<T>(invoke: () => Promise<T>): Promise<T>;
}

interface Judging {
  databaseId: string;
  /** The turn whose validators brought this batch. */
  outer: Judging | undefined;
  /** Databases that its validators write to or wait for. */
  touched: Set<string>;
  isOver: boolean;
}

export class DatabaseTurns {
  readonly #lastById = new Map<string, Promise<void>>();
  readonly #currentById = new Map<string, Judging>();
  /** Made at the first turn, since tracking asynchronous calls costs something. */
  #judging: AsyncLocalStorage<Judging> | undefined;

  /**
   * @throws Error when a validator calls it, and the write would make its own turn stale, or would
   *   close a circle of validators that make each other stale
   */
  refuseWhileJudging(databaseId: string): void {
    this.#touch(databaseId, 'service.write');
  }

  /** Notes that a validator uses another database. */
  #touch(databaseId: string, what: string): Judging | undefined {
    const judging = this.#judging?.getStore();
    if (judging === undefined || judging.isOver) return undefined;
    const waiting = databasesOf(judging);
    if (waiting.has(databaseId)) {
      const why = `a batch for ${databaseId} is being judged here, by what is stored there, and a serial module has it judged anew when that changes`;
      throw new Error(`${what}: ${why}; write in onAfterApplyChanges, or to another database`);
    }
    const back = this.#wayBack(databaseId, waiting);
    if (back !== undefined) {
      const why = `a batch for ${databaseId} is being judged at the same time, which has to do with ${back}, and a batch for that is being judged here: each would wait for the other, or have it judged anew`;
      throw new Error(`${what}: ${why}; write in onAfterApplyChanges`);
    }
    judging.touched.add(databaseId);
    return judging;
  }

  /**
   * Follows what the validators of a database touch, and returns the first database in `waiting`
   * that is reached.
   */
  #wayBack(databaseId: string, waiting: ReadonlySet<string>): string | undefined {
    const seen = new Set([databaseId]);
    for (const id of seen) {
      for (const touched of this.#currentById.get(id)?.touched ?? []) {
        if (waiting.has(touched)) return touched;
        seen.add(touched);
      }
    }
    return undefined;
  }

  /**
   * @param work judges and stores, if the database is still at `expected` when it stores
   * @throws SyncError OVERLOADED, after ten tries in which others have written meanwhile
   * @throws Error when a validator brings the batch, and would wait for itself
   */
  async run<T>(database: DatabaseAccess, work: (turn: Turn) => Promise<T>): Promise<T> {
    const { id } = database;
    const outer = this.#touch(id, 'a batch in a batch');
    const before = this.#lastById.get(id);
    let end = () => {};
    const turn = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#lastById.set(id, turn);
    const judging: Judging = { databaseId: id, outer, touched: new Set(), isOver: false };
    try {
      await before;
      this.#currentById.set(id, judging);
      return await this.#try(database, work, judging);
    } finally {
      judging.isOver = true;
      if (this.#currentById.get(id) === judging) this.#currentById.delete(id);
      end();
      if (this.#lastById.get(id) === turn) this.#lastById.delete(id);
    }
  }

  async #try<T>(
    database: DatabaseAccess,
    work: (turn: Turn) => Promise<T>,
    judging: Judging,
  ): Promise<T> {
    this.#judging ??= new AsyncLocalStorage();
    const storage = this.#judging;
    const judge: Turn['judge'] = (invoke) => storage.run(judging, invoke);
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const { manager } = await database.open();
      try {
        return await work({ expected: await manager.newestPosition(), judge });
      } catch (error) {
        if (!(error instanceof StaleReadError)) throw error;
      }
    }
    const message = 'others write to this database all the time; try again';
    throw new SyncError('OVERLOADED', message, { retryAfterMs: RETRY_AFTER_MS });
  }
}

/** The databases of all turns that wait for the end of this one. */
function databasesOf(judging: Judging): Set<string> {
  const ids = new Set<string>();
  for (let each: Judging | undefined = judging; each !== undefined; each = each.outer) {
    if (!each.isOver) ids.add(each.databaseId);
  }
  return ids;
}
