/**
 * The memory for rows that hook modules read. A long row is read once there is memory for it, and a
 * table one row after the other. A hook that reads row by row while it reads a table holds memory
 * for the table: so a short row needs none, and only few are read at once.
 */

import type { InTurn } from '../../engine/records/in-turn.ts';
import { joined } from '../../engine/records/let-go.ts';
import { LONG_ROW_BYTES, type RowsMemory } from '../../engine/records/row-reader.ts';
import { LongRow } from '../../engine/tables/stored-rows.ts';
import type { Reservation } from './byte-budget.ts';
import { bytesForRow, RowRoom } from './row-room.ts';

export interface HookRowsOptions {
  /** Reserves memory for whoever's call reads, as soon as there is enough. */
  reserve(bytes: number): Promise<Reservation>;
  /** See `RowsMemory`. */
  inTurn: InTurn;
}

export class HookRows {
  readonly #options: HookRowsOptions;

  constructor(options: HookRowsOptions) {
    this.#options = options;
  }

  /**
   * Reads a single row.
   * @param read throws LongRow for a row of more bytes than it is given
   * @throws SyncError OVERLOADED, or what `read` throws
   */
  async one<T>(read: (bytesMax: number) => Promise<T>): Promise<T> {
    const short = await this.#options.inTurn(() => unlessLong(read, LONG_ROW_BYTES));
    if (!(short instanceof LongRow)) return short;
    let { bytes } = short;
    const room = await this.#options.reserve(bytesForRow(bytes, 'parsed'));
    try {
      for (;;) {
        const row = await unlessLong(read, bytes);
        if (!(row instanceof LongRow)) return row;
        // It has grown meanwhile.
        bytes = row.bytes;
        await room.retake(bytesForRow(bytes, 'parsed'));
      }
    } finally {
      room.give();
    }
  }

  /**
   * Reads rows one after the other.
   * @throws SyncError OVERLOADED, or what `read` throws
   */
  all<T>(read: (memory: RowsMemory) => Promise<AsyncIterable<T>>): AsyncIterable<T> {
    return joined(this.#withRoom(read));
  }

  async *#withRoom<T>(
    read: (memory: RowsMemory) => Promise<AsyncIterable<T>>,
  ): AsyncGenerator<AsyncIterable<T>> {
    const { memory, give } = await RowRoom.open({ ...this.#options, use: 'parsed' });
    try {
      yield await read(memory);
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
