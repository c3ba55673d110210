/**
 * The memory for reading rows one after the other, for a snapshot or for a hook. Most rows are
 * short; their memory is reserved at the start. Before a long row is read, all the memory for it is
 * reserved. While a reader waits for that it holds no memory and no row, so that no two readers
 * wait for each other.
 */

import type { InTurn } from '../../engine/records/in-turn.ts';
import type { RowsMemory } from '../../engine/records/row-reader.ts';
import type { Reservation } from './byte-budget.ts';
import type { PageUse } from './page-reads.ts';

/** Memory for short rows: as they are read, as they are written, and queued on the socket. */
const SHORT_ROWS_BYTES = 1024 * 1024;
/**
 * Memory for each byte of a long row: as stored, in a chunk and in a message; `parsed`: also for
 * the hook.
 */
const FACTORS: Readonly<Record<PageUse, number>> = { copied: 4, parsed: 12 };

/** The memory for a long row. */
export function bytesForRow(rowBytes: number, use: PageUse): number {
  return rowBytes * FACTORS[use];
}

export interface RowRoomOptions {
  /** Reserves memory, as soon as there is enough. */
  reserve(bytes: number): Promise<Reservation>;
  use: PageUse;
  /** Memory that is taken besides the rows', as by a compressor. */
  besides?: number;
  /** Resolves once the client has taken all that was sent, or has gone. */
  drained?(): Promise<void>;
  /** See `RowsMemory`. */
  inTurn: InTurn;
}

export class RowRoom {
  readonly #room: Reservation;
  readonly #options: RowRoomOptions;

  private constructor(room: Reservation, options: RowRoomOptions) {
    this.#room = room;
    this.#options = options;
  }

  /** @throws SyncError OVERLOADED */
  static async open(options: RowRoomOptions): Promise<RowRoom> {
    return new RowRoom(await options.reserve(SHORT_ROWS_BYTES + (options.besides ?? 0)), options);
  }

  get memory(): RowsMemory {
    return { admit: (rowBytes) => this.#admit(rowBytes), inTurn: this.#options.inTurn };
  }

  async #admit(rowBytes: number): Promise<void> {
    // The last row may still be queued on the socket, and its memory must not be given back before
    // it is sent.
    await this.#options.drained?.();
    const { use, besides = 0 } = this.#options;
    if (rowBytes === 0) this.#room.adjust(SHORT_ROWS_BYTES + besides);
    else await this.#room.retake(Math.max(SHORT_ROWS_BYTES, bytesForRow(rowBytes, use)) + besides);
  }

  /** To be called once, in any case. */
  readonly give = (): void => this.#room.give();
}
