/**
 * The memory for stored rows that merges read. The smallest change needs its whole row, so a batch
 * of many small changes may need many times its own size. Groups share a little memory. A group
 * that finds no room in it is rolled back, and merged again when no other such group is: so at most
 * one group of the process has more.
 */

import { SyncError } from '../../errors/sync-error.ts';

/** What all groups that are merged side by side may have read together, in bytes of rows. */
const SHARED_BYTES = 32 * 1024 * 1024;

/** Called with the size of rows that were read. Throws if there is no memory for them. */
export type TakeRows = (bytes: number) => void;

class NoSharedRoom extends Error {}

export interface MergeMemoryOptions {
  /** What one batch may have read, in bytes of rows. */
  rowBytesPerBatch: number;
  /** Default: `SHARED_BYTES`. */
  sharedBytes?: number;
}

export const UNLIMITED_MERGES: MergeMemoryOptions = {
  rowBytesPerBatch: Number.POSITIVE_INFINITY,
  sharedBytes: Number.POSITIVE_INFINITY,
};

export class MergeMemory {
  readonly #perBatch: number;
  readonly #sharedMax: number;
  #shared = 0;
  #lane: Promise<void> = Promise.resolve();

  constructor({ rowBytesPerBatch, sharedBytes = SHARED_BYTES }: MergeMemoryOptions) {
    this.#perBatch = rowBytesPerBatch;
    this.#sharedMax = sharedBytes;
  }

  /**
   * @param merge may be called twice
   * @throws SyncError TOO_LARGE, or what `merge` throws
   */
  async run<T>(merge: (take: TakeRows) => Promise<T>): Promise<T> {
    let taken = 0;
    const take = (bytes: number) => {
      if (taken + bytes > this.#perBatch || this.#shared + bytes > this.#sharedMax) {
        throw new NoSharedRoom('the rows have no room beside those of other groups');
      }
      taken += bytes;
      this.#shared += bytes;
    };
    try {
      return await merge(take);
    } catch (error) {
      if (!(error instanceof NoSharedRoom)) throw error;
    } finally {
      this.#shared -= taken;
    }
    const merged = this.#lane.then(() => this.#alone(merge));
    // Without the result, which would stay in memory until the next one.
    this.#lane = merged.then(
      () => undefined,
      () => undefined,
    );
    return merged;
  }

  #alone<T>(merge: (take: TakeRows) => Promise<T>): Promise<T> {
    let taken = 0;
    return merge((bytes) => {
      taken += bytes;
      if (taken <= this.#perBatch) return;
      const limit = 'limits.rowBytesPerBatch';
      const message = `the rows that are changed at once hold more than ${limit} (${this.#perBatch}) bytes`;
      throw new SyncError('TOO_LARGE', message, { limit });
    });
  }
}
