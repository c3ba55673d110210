/** Reads the rows of a snapshot, of which some may be too long for the memory that there is. */

import type { KVEntry, KVRange, KVView } from '../../storage/kv-store.ts';

/** What is longer is read alone, and when it has been admitted. */
const LONG_ROW_BYTES = 256 * 1024;

/**
 * Asked before a long row is read, with its bytes: resolves once there is memory for it, and for the chunks that
 * it makes. And told 0 once nothing of it is needed any more.
 */
export type AdmitRow = (rowBytes: number) => Promise<void>;

/** Reads rows one array at a time, as `KVReader.iterate` does, but each long one alone. */
export class RowReader {
  readonly #view: KVView;
  readonly #admit: AdmitRow;

  constructor(view: KVView, admit: AdmitRow) {
    this.#view = view;
    this.#admit = admit;
  }

  async *read(range: KVRange): AsyncGenerator<readonly KVEntry[], void, undefined> {
    let long = yield* this.#readUpToLong(range);
    while (long !== undefined) {
      const { key } = long;
      await this.#admit(long.bytes);
      yield* this.#readOne(key);
      await this.#admit(0);
      long = yield* this.#readUpToLong({ gt: key, lt: range.lt });
    }
  }

  /** A generator of its own: nothing of the row is held any more when it has ended. */
  async *#readUpToLong(
    range: KVRange,
  ): AsyncGenerator<readonly KVEntry[], { key: Uint8Array; bytes: number } | undefined> {
    for await (const entries of this.#view.iterate(range)) {
      const at = entries.findIndex(([, value]) => value.length > LONG_ROW_BYTES);
      const [key, value] = entries[at] ?? [];
      if (key === undefined || value === undefined) {
        yield entries;
        continue;
      }
      if (at > 0) yield entries.slice(0, at);
      // Copied: it may be a part of what was read with the row.
      return { key: Buffer.from(key), bytes: value.length };
    }
    return undefined;
  }

  async *#readOne(key: Uint8Array): AsyncGenerator<readonly KVEntry[], void> {
    const [value] = await this.#view.getMany([key]);
    if (value !== undefined) yield [[key, value]];
  }
}
