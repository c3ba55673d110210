/** Waits for PostgreSQL on a connection outside of the pools, with a time limit. */

import type pg from 'pg';
import { cut } from './connections.ts';

/**
 * Runs `work` on a connection, and closes that if `work` takes longer, so that `work` rejects, or
 * fails, since the state of the connection is then unknown.
 */
export async function answerInTime<T>(
  client: pg.Client,
  timeoutMs: number,
  work: () => Promise<T>,
): Promise<T> {
  let isOverdue = false;
  const timer = setTimeout(() => {
    isOverdue = true;
    cut(client);
  }, timeoutMs);
  try {
    return await work();
  } catch (error) {
    cut(client);
    throw isOverdue
      ? new Error(`no answer: timeout after ${timeoutMs} ms`, { cause: error })
      : error;
  } finally {
    clearTimeout(timer);
  }
}
