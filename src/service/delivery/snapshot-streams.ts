/**
 * The snapshots that are being sent. Each holds a view of its store, so they are bounded, in total
 * and for each user. A snapshot that its client takes too slowly is ended when another client needs
 * its place.
 */

import { letGoOfEach } from '../../engine/records/let-go.ts';
import type { Snapshot } from '../../engine/snapshot/snapshot.ts';
import type { SnapshotUse } from '../../engine/table-reads.ts';
import type { LimitName } from '../../errors/limit-names.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { WireCheckpoint } from '../../protocol/schemas.ts';
import type { OpenDatabase } from '../access/open-database.ts';
import { Budget } from '../budgets/budget.ts';

const OVERLOADED_RETRY_MS = 1000;

export interface SnapshotStreamLimits {
  snapshotStreams: number;
  sharePerUser: number;
  /** What a client must take while others wait, over an interval of half of `stalledMs`. */
  snapshotBytesPerSecond: number;
  /** After so long without progress the socket is closed: later than the end for slowness. */
  stalledMs: number;
}

interface Stream {
  holder: string | undefined;
  /** Bytes that the reader has taken. */
  taken(): number;
  /** The value of `taken()` when the present interval began. */
  takenBefore: number;
  /** In the last complete interval; infinite during the first. */
  bytesPerSecond: number;
  /** Ends it. */
  giveUp(reason: SyncError): void;
}

export class SnapshotStreams {
  readonly #limits: SnapshotStreamLimits;
  readonly #onLimit: (limit: LimitName) => void;
  readonly #budget: Budget;
  readonly #streams = new Set<Stream>();
  /** Includes those that are being opened. */
  #count = 0;
  #pace: NodeJS.Timeout | undefined;

  /** How many were begun, and how many were sent to the end. */
  readonly counts = { begun: 0, completed: 0 };

  /** @param onLimit called for a limit that ends another client's snapshot */
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
   * @param queuedBytes bytes that were given out and the reader has not taken yet
   * @throws SyncError OVERLOADED when there is no place
   */
  async open(
    { manager, holder }: Pick<OpenDatabase, 'holder'> & { manager: SnapshotSource },
    checkpoint: WireCheckpoint | undefined,
    { queuedBytes = () => 0, site, memory }: SnapshotUse & { queuedBytes?: () => number } = {},
  ): Promise<Snapshot> {
    this.#budget.demandRoom(holder);
    if (this.#count >= this.#limits.snapshotStreams) this.#makeRoom(holder);
    this.#budget.take(holder);
    this.#count++;
    const leave = () => {
      this.#count--;
      this.#budget.give(holder);
    };
    try {
      const snapshot = await manager.tables.snapshot(checkpoint, { site, memory });
      this.counts.begun++;
      return this.#counted(snapshot, holder, leave, queuedBytes);
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** @throws SyncError OVERLOADED when all are taken fast enough, and nobody has to give way */
  #makeRoom(holder: string | undefined): void {
    const { snapshotStreams, snapshotBytesPerSecond } = this.#limits;
    const bySlowness = [...this.#streams].toSorted((a, b) => a.bytesPerSecond - b.bytesPerSecond);
    const [slowest] = bySlowness;
    if (slowest !== undefined && slowest.bytesPerSecond < snapshotBytesPerSecond) {
      const limit = 'limits.snapshotBytesPerSecond';
      const why = `taken at less than ${limit} (${snapshotBytesPerSecond})`;
      this.#giveUp(slowest, limit, why);
      return;
    }
    const giver = this.#budget.giverTo(holder);
    const given = bySlowness.find((one) => giver !== undefined && one.holder === giver);
    const limit = 'limits.snapshotStreams';
    if (given === undefined) {
      const message = `${limit} (${snapshotStreams}) snapshots are being sent`;
      throw new SyncError('OVERLOADED', message, { retryAfterMs: OVERLOADED_RETRY_MS, limit });
    }
    this.#giveUp(given, limit, `one of most of ${limit} (${snapshotStreams})`);
  }

  #giveUp(stream: Stream, limit: LimitName, why: string): void {
    // Counted now: the reader of the snapshot may notice its end only much later.
    this.#onLimit(limit);
    const message = `the snapshot was ${why}, and others wait`;
    stream.giveUp(new SyncError('OVERLOADED', message, { retryAfterMs: OVERLOADED_RETRY_MS }));
  }

  #counted(
    snapshot: Snapshot,
    holder: string | undefined,
    leave: () => void,
    queuedBytes: () => number,
  ): Snapshot {
    const { cursor, headerHlc, chunks, migrations, aliases } = snapshot;
    const { counts } = this;
    let given = 0;
    let reason: SyncError | undefined;
    let closing: Promise<void> | undefined;
    const close = () => {
      closing ??= this.#end(stream, leave).then(() => snapshot.close());
      return closing;
    };
    const stream: Stream = {
      holder,
      taken: () => given - queuedBytes(),
      takenBefore: 0,
      bytesPerSecond: Number.POSITIVE_INFINITY,
      giveUp(why) {
        reason = why;
        // Frees the place now. The reader gets the reason with the next chunk.
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
      migrations,
      close,
      chunks: letGoOfEach(
        chunks,
        function* (chunk) {
          demandPlace();
          given += chunk.length;
          yield chunk;
          demandPlace();
        },
        {
          ended: () => {
            counts.completed++;
          },
          failed: (error) => {
            // The view was closed while it was being read.
            throw reason ?? error;
          },
        },
      ),
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
