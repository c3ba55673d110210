/** Waiting for PostgreSQL on a connection of one's own, which may hang without anybody noticing. */

import type pg from 'pg';
import { cut } from './connections.ts';

/**
 * Cuts the connection where `work` on it takes longer, so that `work` rejects, and where it fails: in
 * which state it is then, is not worth finding out.
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
