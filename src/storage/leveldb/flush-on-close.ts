/** Writing stores out when they close, for so long that nobody who stops a server waits for it. */

import { createWriteQueue } from '../write-queue.ts';

export type WriteOut = (write: () => Promise<void>) => Promise<void>;

/**
 * One at a time, since LevelDB writes in one thread and each that waits for it holds one of those that
 * all reads and writes share.
 * @param forMs of stores that close together, those whose turn comes later are left as they are
 */
export function createWriteOut(forMs: number): WriteOut {
  const queue = createWriteQueue();
  let waiting = 0;
  let until = 0;
  return async (write) => {
    if (waiting === 0) until = performance.now() + forMs;
    waiting++;
    try {
      await queue.run(async () => {
        if (performance.now() < until) await write();
      });
    } finally {
      waiting--;
    }
  };
}
