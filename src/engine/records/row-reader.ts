/**
 * Reads rows one after the other, for a snapshot or a hook, and waits for memory before it reads a
 * long one.
 */

import type { KVEntry, KVRange, KVView } from '../../storage/kv-store.ts';
import type { InTurn } from './in-turn.ts';
import { joined } from './let-go.ts';

/** A longer row is read alone, once it has been admitted. */
export const LONG_ROW_BYTES = 256 * 1024;

/**
 * Called with its bytes before a long row is read: resolves once there is memory for the row and
 * what is made of it. Called with 0 once the row is not needed any more.
 */
export type AdmitRow = (rowBytes: number) => Promise<void>;

/** The memory for reading rows. */
export interface RowsMemory {
  admit: AdmitRow;
  /** Bounds how many readers may at once meet rows of unknown length. */
  inTurn: InTurn;
}

export const UNBOUNDED: RowsMemory = {
  admit: async () => undefined,
  inTurn: (read) => read(),
};

/** The long row that comes next, if there is one. */
interface Ahead {
  long?: { key: Uint8Array; bytes: number } | undefined;
}

/** Reads rows one array at a time, as `KVReader.iterate` does, but each long one alone. */
export class RowReader {
  readonly #view: KVView;
  readonly #memory: RowsMemory;

  constructor(view: KVView, memory: RowsMemory) {
    this.#view = view;
    this.#memory = memory;
  }

  read(range: KVRange): AsyncIterable<readonly KVEntry[]> {
    return joined(this.#partsOf(range));
  }

  async *#partsOf(range: KVRange): AsyncGenerator<AsyncIterable<readonly KVEntry[]>, void> {
    for (let from = range; ; ) {
      const ahead: Ahead = {};
      yield this.#readUpToLong(from, ahead);
      if (ahead.long === undefined) return;
      const { key, bytes } = ahead.long;
      await this.#memory.admit(bytes);
      yield this.#readOne(key);
      await this.#memory.admit(0);
      from = { gt: key, lt: range.lt };
    }
  }

  /** Has let go of the long row before it gives out the short ones before that. */
  async *#readUpToLong(range: KVRange, ahead: Ahead): AsyncGenerator<readonly KVEntry[], void> {
    const arrays = this.#view.iterate(range)[Symbol.asyncIterator]();
    try {
      while (ahead.long === undefined) {
        const read = await this.#readArray(arrays);
        if (read === undefined) return;
        ahead.long = read.long;
        if (read.short.length > 0) yield read.short;
      }
    } finally {
      await arrays.return?.();
    }
  }

  /** Within a turn also lets go of a long row. */
  #readArray(
    arrays: AsyncIterator<readonly KVEntry[]>,
  ): Promise<({ short: readonly KVEntry[] } & Ahead) | undefined> {
    return this.#memory.inTurn(async () => {
      const { done, value: entries } = await arrays.next();
      if (done) return undefined;
      const at = entries.findIndex(([, value]) => value.length > LONG_ROW_BYTES);
      const [key, value] = entries[at] ?? [];
      if (key === undefined || value === undefined) return { short: entries };
      // Copied: what was read together may share a buffer with the row.
      const short = entries.slice(0, at).map(([key, value]): KVEntry => {
        return [Buffer.from(key), Buffer.from(value)];
      });
      await arrays.return?.();
      return { short, long: { key: Buffer.from(key), bytes: value.length } };
    });
  }

  async *#readOne(key: Uint8Array): AsyncGenerator<readonly KVEntry[], void> {
    const [value] = await this.#view.getMany([key]);
    if (value !== undefined) yield [[key, value]];
  }
}
