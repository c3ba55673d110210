/**
 * One batch a database at a time, from the question whether it may be stored to its being stored: what
 * its validators have read still holds when it is merged. Where others write to the same store it may
 * not, which the merge finds out; then they are asked again.
 */

import type { HlcText } from '../clock/hlc.ts';
import { StaleReadError } from '../engine/merge/stale-read.ts';
import { SyncError } from '../errors/sync-error.ts';
import type { DatabaseAccess } from './open-database.ts';

const TRIES_MAX = 10;
const RETRY_AFTER_MS = 1000;

export class DatabaseTurns {
  readonly #lastById = new Map<string, Promise<void>>();

  /**
   * @param work judges and stores, if the database is still at that position then
   * @throws SyncError OVERLOADED, when others have come between every time
   */
  async run<T>(database: DatabaseAccess, work: (expected: HlcText) => Promise<T>): Promise<T> {
    const { id } = database;
    const before = this.#lastById.get(id);
    let end = () => {};
    const turn = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#lastById.set(id, turn);
    try {
      await before;
      return await this.#try(database, work);
    } finally {
      end();
      if (this.#lastById.get(id) === turn) this.#lastById.delete(id);
    }
  }

  async #try<T>(database: DatabaseAccess, work: (expected: HlcText) => Promise<T>): Promise<T> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const { manager } = await database.open();
      try {
        return await work(await manager.newestPosition());
      } catch (error) {
        if (!(error instanceof StaleReadError)) throw error;
      }
    }
    const message = 'others write to this database all the time; try again';
    throw new SyncError('OVERLOADED', message, { retryAfterMs: RETRY_AFTER_MS });
  }
}
