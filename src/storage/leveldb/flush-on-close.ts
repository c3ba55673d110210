/**
 * Flushes stores to tables when they close, within a time limit, so that a stop of the server stays
 * quick.
 */

import { createWriteQueue } from '../write-queue.ts';

export type FlushOnClose = (flush: () => Promise<void>) => Promise<void>;

/**
 * Flushes one store at a time: LevelDB writes in one thread, and each flush that waits for it would
 * hold one of the threads that all reads and writes share.
 * @param forMs the time limit for stores that close together; those whose turn comes later are not
 *   flushed
 */
export function createFlushOnClose(forMs: number): FlushOnClose {
  const queue = createWriteQueue();
  let waiting = 0;
  let until = 0;
  return async (flush) => {
    if (waiting === 0) until = performance.now() + forMs;
    waiting++;
    try {
      await queue.run(async () => {
        if (performance.now() < until) await flush();
      });
    } finally {
      waiting--;
    }
  };
}
