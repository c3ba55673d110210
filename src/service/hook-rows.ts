/**
 * The memory for rows that hook modules read. A long row is read once there is memory for it, and a
 * table one row after the other. A hook that reads row by row while it reads a table holds memory
 * for the table: so a short row needs none, and only few are read at once.
 */

import { LONG_ROW_BYTES } from '../engine/records/row-reader.ts';
import { LongRow, type RowsMemory } from '../engine/tables/stored-rows.ts';
import type { Reservation } from './byte-budget.ts';
import { bytesFor } from './page-reads.ts';
import { RowRoom } from './row-room.ts';
import { Turns } from './turns.ts';

/** How many reads may at once meet rows of unknown length. */
const READS_AT_ONCE = 4;

export class HookRows {
  readonly #turns = new Turns(READS_AT_ONCE);
  readonly #reserve: (bytes: number) => Promise<Reservation>;

  /** @param reserve reserves memory, as soon as there is enough */
  constructor(reserve: (bytes: number) => Promise<Reservation>) {
    this.#reserve = reserve;
  }

  /**
   * Reads a single row.
   * @param read throws LongRow for a row of more bytes than it is given
   * @throws SyncError OVERLOADED, or what `read` throws
   */
  async one<T>(read: (bytesMax: number) => Promise<T>): Promise<T> {
    const short = await this.#turns.run(() => unlessLong(read, LONG_ROW_BYTES));
    if (!(short instanceof LongRow)) return short;
    let { bytes } = short;
    const room = await this.#reserve(bytesFor(bytes, 'parsed'));
    try {
      for (;;) {
        const row = await unlessLong(read, bytes);
        if (!(row instanceof LongRow)) return row;
        // It has grown meanwhile.
        bytes = row.bytes;
        await room.retake(bytesFor(bytes, 'parsed'));
      }
    } finally {
      room.give();
    }
  }

  /**
   * Reads rows one after the other.
   * @throws SyncError OVERLOADED, or what `read` throws
   */
  async *all<T>(read: (memory: RowsMemory) => AsyncIterable<T>): AsyncGenerator<T> {
    const { admit, give } = await RowRoom.open({ reserve: this.#reserve, use: 'parsed' });
    try {
      yield* read({ admit, inTurn: (work) => this.#turns.run(work) });
    } finally {
      give();
    }
  }
}

async function unlessLong<T>(
  read: (bytesMax: number) => Promise<T>,
  bytesMax: number,
): Promise<T | LongRow> {
  try {
    return await read(bytesMax);
  } catch (error) {
    if (error instanceof LongRow) return error;
    throw error;
  }
}
