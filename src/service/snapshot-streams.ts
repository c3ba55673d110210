/** Snapshots under way: each holds a view of its store, so there is a limit to them. */

import type { Snapshot } from '../engine/snapshot.ts';
import { SyncError } from '../errors.ts';
import type { WireCheckpoint } from '../wire/schemas.ts';
import type { Metrics } from './metrics.ts';
import type { OpenDatabase } from './open-database.ts';

const OVERLOADED_RETRY_MS = 1000;

export class SnapshotStreams {
  readonly #max: number;
  readonly #metrics: Metrics;
  #count = 0;

  /** @param max `limits.snapshotStreams` */
  constructor(max: number, metrics: Metrics) {
    this.#max = max;
    this.#metrics = metrics;
  }

  get size(): number {
    return this.#count;
  }

  /** @throws SyncError OVERLOADED when there is no place for one more */
  async open({ manager }: OpenDatabase, checkpoint: WireCheckpoint | undefined): Promise<Snapshot> {
    if (this.#count >= this.#max) {
      throw new SyncError(
        'OVERLOADED',
        `limits.snapshotStreams (${this.#max}) snapshots are being sent`,
        { retryAfterMs: OVERLOADED_RETRY_MS, limit: 'limits.snapshotStreams' },
      );
    }
    this.#count++;
    try {
      const snapshot = await manager.openSnapshot(checkpoint);
      this.#metrics.snapshots.inc();
      return this.#counted(snapshot);
    } catch (error) {
      this.#count--;
      throw error;
    }
  }

  #counted({ cursor, headerHlc, chunks, close }: Snapshot): Snapshot {
    let isOpen = true;
    const completed = this.#metrics.snapshotsCompleted;
    return {
      cursor,
      headerHlc,
      chunks: (async function* () {
        yield* chunks;
        completed.inc();
      })(),
      close: async () => {
        if (isOpen) this.#count--;
        isOpen = false;
        await close();
      },
    };
  }
}
