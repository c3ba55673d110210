/**
 * The memory that one snapshot is sent in. Most of its rows are short, and what is under way of them is
 * counted from the beginning. A long one is read once there is room for all that is made of it: who waits
 * for that holds nothing of it, nor of the one before, so that no two wait for each other.
 */

import type { Reservation } from './byte-budget.ts';
import type { PageUse } from './page-reads.ts';

/** What most of its chunks take: as they are read, as they are written, and what waits on the socket. */
const SNAPSHOT_BYTES = 1024 * 1024;
/** For each byte of a long row: as it is stored, in a chunk and in a message; and what a hook sees of it. */
const FACTORS: Readonly<Record<PageUse, number>> = { copied: 4, parsed: 12 };

export interface SnapshotRoomOptions {
  /** Room in memory, once there is. */
  reserve(bytes: number): Promise<Reservation>;
  use: PageUse;
  /** Resolves once its reader has taken all that was sent, or has gone. */
  drained(): Promise<void>;
}

export class SnapshotRoom {
  readonly #room: Reservation;
  readonly #options: SnapshotRoomOptions;

  private constructor(room: Reservation, options: SnapshotRoomOptions) {
    this.#room = room;
    this.#options = options;
  }

  /** @throws SyncError OVERLOADED */
  static async open(options: SnapshotRoomOptions): Promise<SnapshotRoom> {
    return new SnapshotRoom(await options.reserve(SNAPSHOT_BYTES), options);
  }

  /** See `AdmitRow`. */
  readonly admit = async (rowBytes: number): Promise<void> => {
    // What has been written of a row may be asked for more of before it has been taken.
    await this.#options.drained();
    if (rowBytes === 0) this.#room.adjust(SNAPSHOT_BYTES);
    else await this.#room.retake(Math.max(SNAPSHOT_BYTES, rowBytes * FACTORS[this.#options.use]));
  };

  /** To be called once for all that happens. */
  readonly give = (): void => this.#room.give();
}
