/** Messages to clients, built from pieces that are JSON already. */

import { ByteBuilder } from '../engine/byte-builder.ts';

const OPENING = {
  changes: Buffer.from('{"type":"changes","changeSets":['),
  push: Buffer.from('{"type":"push_changes","changeSets":['),
};
const COMMA = Buffer.from(',');
const CLOSING = Buffer.from(']}');

function* joined(pieces: readonly Uint8Array[]): Generator<Uint8Array> {
  let isFirst = true;
  for (const piece of pieces) {
    if (!isFirst) yield COMMA;
    isFirst = false;
    yield piece;
  }
}

/** A `changes` or `push_changes` message around change sets in JSON. */
export function changeSetsFrame(
  kind: keyof typeof OPENING,
  changeSets: readonly Uint8Array[],
): Buffer {
  return Buffer.concat([OPENING[kind], ...joined(changeSets), CLOSING]);
}

/** What is made ready for a page of changes; most answers are small. */
const FIRST_PAGE_BYTES = 4 * 1024;
/** Of a page, what is around and between its change sets included. */
const FRAME_BYTES_A_BYTE = 1.02;

/** `changes` messages, one after the other, each written change set by change set. */
export class PageWriter {
  readonly #builder: ByteBuilder;
  #isEmpty = true;

  /** @param pageBytes about what a message grows to, unless it stays small */
  constructor(pageBytes: number) {
    const grownCapacity = Math.ceil(pageBytes * FRAME_BYTES_A_BYTE);
    this.#builder = new ByteBuilder(FIRST_PAGE_BYTES, grownCapacity);
  }

  /** In bytes, of what has been added. */
  get length(): number {
    return this.#builder.length;
  }

  /** @param json of a change set */
  add(json: Uint8Array): void {
    this.#builder.add(this.#isEmpty ? OPENING.changes : COMMA);
    this.#isEmpty = false;
    this.#builder.add(json);
  }

  /** The message, lent until the next one is written. */
  take(): Buffer {
    if (this.#isEmpty) this.#builder.add(OPENING.changes);
    this.#isEmpty = true;
    this.#builder.add(CLOSING);
    return this.#builder.take();
  }
}

const CHUNK_OPENING = Buffer.from('{"type":"snapshot_chunk","chunk":');
const CHUNK_CLOSING = Buffer.from('}');

export function snapshotChunkFrame(chunk: Uint8Array): Buffer {
  return Buffer.concat([CHUNK_OPENING, chunk, CHUNK_CLOSING]);
}

/** The answer to `GET /changes`. */
export function changesPageJson(page: {
  changeSets: readonly Uint8Array[];
  hasMore: boolean;
  watermark: string;
}): Buffer {
  const { changeSets, hasMore, watermark } = page;
  const closing = `],"hasMore":${hasMore},"watermark":"${watermark}"}}`;
  return Buffer.concat([
    Buffer.from('{"ok":true,"data":{"changes":['),
    ...joined(changeSets),
    Buffer.from(closing),
  ]);
}
