/**
 * Reads rows one after the other, for a snapshot or a hook, and waits for memory before it reads a
 * long one.
 */

import type { KVEntry, KVRange, KVView } from '../../storage/kv-store.ts';
import type { InTurn } from './in-turn.ts';

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

/** Reads rows one array at a time, as `KVReader.iterate` does, but each long one alone. */
export class RowReader {
  readonly #view: KVView;
  readonly #memory: RowsMemory;

  constructor(view: KVView, memory: RowsMemory) {
    this.#view = view;
    this.#memory = memory;
  }

  async *read(range: KVRange): AsyncGenerator<readonly KVEntry[], void, undefined> {
    let long = yield* this.#readUpToLong(range);
    while (long !== undefined) {
      const { key } = long;
      await this.#memory.admit(long.bytes);
      yield* this.#readOne(key);
      await this.#memory.admit(0);
      long = yield* this.#readUpToLong({ gt: key, lt: range.lt });
    }
  }

  /** A generator of its own, so that the row can be freed when it has ended. */
  async *#readUpToLong(
    range: KVRange,
  ): AsyncGenerator<readonly KVEntry[], { key: Uint8Array; bytes: number } | undefined> {
    for await (const entries of this.#arrays(range)) {
      const at = entries.findIndex(([, value]) => value.length > LONG_ROW_BYTES);
      const [key, value] = entries[at] ?? [];
      if (key === undefined || value === undefined) {
        yield entries;
        continue;
      }
      if (at > 0) yield entries.slice(0, at);
      // Copied: the key may share its buffer with the row.
      return { key: Buffer.from(key), bytes: value.length };
    }
    return undefined;
  }

  async *#arrays(range: KVRange): AsyncGenerator<readonly KVEntry[], void> {
    const arrays = this.#view.iterate(range)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const { done, value } = await this.#memory.inTurn(() => arrays.next());
        if (done) return;
        yield value;
      }
    } finally {
      await arrays.return?.();
    }
  }

  async *#readOne(key: Uint8Array): AsyncGenerator<readonly KVEntry[], void> {
    const [value] = await this.#view.getMany([key]);
    if (value !== undefined) yield [[key, value]];
  }
}
