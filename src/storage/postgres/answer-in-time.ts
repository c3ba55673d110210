/** Waiting for PostgreSQL on a connection of one's own, which may hang without anybody noticing. */

import type pg from 'pg';

/** Ends the connection where `work` on it takes longer, so that `work` rejects. */
export async function answerInTime<T>(
  client: pg.Client,
  timeoutMs: number,
  work: () => Promise<T>,
): Promise<T> {
  let isOverdue = false;
  const timer = setTimeout(() => {
    isOverdue = true;
    client.end().catch(() => undefined);
  }, timeoutMs);
  try {
    return await work();
  } catch (error) {
    throw isOverdue
      ? new Error(`no answer: timeout after ${timeoutMs} ms`, { cause: error })
      : error;
  } finally {
    clearTimeout(timer);
  }
}
