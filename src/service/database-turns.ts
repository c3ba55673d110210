/**
 * One batch a database at a time, from the question whether it may be stored to its being stored: what
 * its validators have read still holds when it is merged. Where others write to the same store it may
 * not, which the merge finds out; then they are asked again.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { HlcText } from '../clock/hlc.ts';
import { StaleReadError } from '../engine/merge/stale-read.ts';
import { SyncError } from '../errors/sync-error.ts';
import type { DatabaseAccess } from './open-database.ts';

const TRIES_MAX = 10;
const RETRY_AFTER_MS = 1000;

/** What the work of a turn goes by. */
export interface Turn {
  /** Where the log ends as long as nothing has come between. */
  expected: HlcText;
  /** Invokes the validators: what they call, for as long as the turn lasts, is known to be theirs. */
  judge<T>(invoke: () => Promise<T>): Promise<T>;
}

interface Judging {
  databaseId: string;
  /** The one by whose validators this batch was brought. */
  outer: Judging | undefined;
  /** Databases that its validators write to, or wait for. */
  touched: Set<string>;
  isOver: boolean;
}

export class DatabaseTurns {
  readonly #lastById = new Map<string, Promise<void>>();
  readonly #currentById = new Map<string, Judging>();
  /** Made with the first turn: where nothing is serial nobody pays for following what is called. */
  #judging: AsyncLocalStorage<Judging> | undefined;

  /**
   * @throws Error when it is called by a validator whose turn a write to this database would make stale, or whose
   * turn a validator of that database makes stale
   */
  refuseWhileJudging(databaseId: string): void {
    this.#touch(databaseId, 'service.write');
  }

  /** Takes down that a validator is about to have something to do with another database. */
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

  /** Which one of `waiting` is touched by whoever judges in a database, or in one that those touch. */
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
   * @param work judges and stores, if the database is still at the position that is expected then
   * @throws SyncError OVERLOADED, when others have come between every time
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

/** Those in which something waits for the end of this. */
function databasesOf(judging: Judging): Set<string> {
  const ids = new Set<string>();
  for (let each: Judging | undefined = judging; each !== undefined; each = each.outer) {
    if (!each.isOver) ids.add(each.databaseId);
  }
  return ids;
}
