/**
 * Snapshots under way: each holds a view of its store, so there is a limit to them, and to those of one
 * user. One that is taken too slowly gives its place up when somebody else waits for one.
 */

import type { Snapshot } from '../engine/snapshot/snapshot.ts';
import type { SnapshotUse } from '../engine/table-reads.ts';
import type { LimitName } from '../errors/limit-names.ts';
import { SyncError } from '../errors/sync-error.ts';
import type { WireCheckpoint } from '../protocol/schemas.ts';
import { Budget } from './budget.ts';
import type { OpenDatabase } from './open-database.ts';

const OVERLOADED_RETRY_MS = 1000;

export interface SnapshotStreamLimits {
  snapshotStreams: number;
  sharePerUser: number;
  /** What has to be taken of one while others wait, */
  snapshotBytesPerSecond: number;
  /** over half of this: so it is told, before its socket is closed for taking nothing at all. */
  stalledMs: number;
}

interface Stream {
  /** Bytes that its reader has taken. */
  taken(): number;
  /** As of when the time that is looked at began. */
  takenBefore: number;
  /** In the time that was looked at last; without end before that. */
  bytesPerSecond: number;
  /** Ends it. */
  giveUp(reason: SyncError): void;
}

export class SnapshotStreams {
  readonly #limits: SnapshotStreamLimits;
  readonly #onLimit: (limit: LimitName) => void;
  readonly #budget: Budget;
  readonly #streams = new Set<Stream>();
  /** Those that are being opened as well. */
  #count = 0;
  #pace: NodeJS.Timeout | undefined;

  /** So many were begun, and sent to the end. */
  readonly counts = { begun: 0, completed: 0 };

  /** @param onLimit told of a limit that no error tells a client of at once */
  constructor(limits: SnapshotStreamLimits, onLimit: (limit: LimitName) => void) {
    this.#limits = limits;
    this.#onLimit = onLimit;
    const { snapshotStreams: max, sharePerUser } = limits;
    this.#budget = new Budget({ limit: 'limits.snapshotStreams', max, sharePerUser });
  }

  get size(): number {
    return this.#count;
  }

  get #paceMs(): number {
    return this.#limits.stalledMs / 2;
  }

  /**
   * @param queuedBytes what was given out of it, and its reader has not taken yet
   * @throws SyncError OVERLOADED when there is no place for one more
   */
  async open(
    { manager, holder }: Pick<OpenDatabase, 'holder'> & { manager: SnapshotSource },
    checkpoint: WireCheckpoint | undefined,
    { queuedBytes = () => 0, site, admit }: SnapshotUse & { queuedBytes?: () => number } = {},
  ): Promise<Snapshot> {
    const giveBack = this.#budget.take(holder);
    try {
      if (this.#count >= this.#limits.snapshotStreams) this.#makeRoom();
      this.#count++;
    } catch (error) {
      giveBack();
      throw error;
    }
    const leave = () => {
      this.#count--;
      giveBack();
    };
    try {
      const snapshot = await manager.tables.snapshot(checkpoint, { site, admit });
      this.counts.begun++;
      return this.#counted(snapshot, leave, queuedBytes);
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** @throws SyncError OVERLOADED when all that are sent are taken well enough */
  #makeRoom(): void {
    const { snapshotStreams, snapshotBytesPerSecond } = this.#limits;
    const [slowest] = [...this.#streams].toSorted((a, b) => a.bytesPerSecond - b.bytesPerSecond);
    const retryAfterMs = OVERLOADED_RETRY_MS;
    if (slowest === undefined || slowest.bytesPerSecond >= snapshotBytesPerSecond) {
      const limit = 'limits.snapshotStreams';
      const message = `${limit} (${snapshotStreams}) snapshots are being sent`;
      throw new SyncError('OVERLOADED', message, { retryAfterMs, limit });
    }
    const limit = 'limits.snapshotBytesPerSecond';
    const message = `the snapshot was taken at less than ${limit} (${snapshotBytesPerSecond}), and others wait`;
    // Counted now: its reader may take long to come to where it is told.
    this.#onLimit(limit);
    slowest.giveUp(new SyncError('OVERLOADED', message, { retryAfterMs }));
  }

  #counted(snapshot: Snapshot, leave: () => void, queuedBytes: () => number): Snapshot {
    const { cursor, headerHlc, chunks, aliases } = snapshot;
    const { counts } = this;
    let given = 0;
    let reason: SyncError | undefined;
    let closing: Promise<void> | undefined;
    const close = () => {
      closing ??= this.#end(stream, leave).then(() => snapshot.close());
      return closing;
    };
    const stream: Stream = {
      taken: () => given - queuedBytes(),
      takenBefore: 0,
      bytesPerSecond: Number.POSITIVE_INFINITY,
      giveUp(why) {
        reason = why;
        // Whoever reads it is told by the next piece; its place is free at once.
        close().catch(() => undefined);
      },
    };
    this.#streams.add(stream);
    this.#pace ??= setInterval(() => this.#lookAtPace(), this.#paceMs).unref();
    const demandPlace = () => {
      if (reason !== undefined) throw reason;
    };
    return {
      cursor,
      headerHlc,
      aliases,
      close,
      chunks: (async function* () {
        demandPlace();
        try {
          for await (const chunk of chunks) {
            demandPlace();
            given += chunk.length;
            yield chunk;
            demandPlace();
          }
        } catch (error) {
          // Its view has been closed below it.
          throw reason ?? error;
        }
        counts.completed++;
      })(),
    };
  }

  async #end(stream: Stream, leave: () => void): Promise<void> {
    leave();
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    clearInterval(this.#pace);
    this.#pace = undefined;
  }

  #lookAtPace(): void {
    for (const stream of this.#streams) {
      const taken = stream.taken();
      stream.bytesPerSecond = ((taken - stream.takenBefore) * 1000) / this.#paceMs;
      stream.takenBefore = taken;
    }
  }
}

interface SnapshotSource {
  tables: { snapshot(checkpoint?: WireCheckpoint, use?: SnapshotUse): Promise<Snapshot> };
}
