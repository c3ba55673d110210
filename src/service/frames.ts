/** Messages to clients, built from pieces that are JSON already. */

import { ByteBuilder } from '../engine/records/byte-builder.ts';
import { SyncError } from '../errors/sync-error.ts';

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

/** A message, in the pieces that it was put together from: what is long is in memory once, as it was read. */
export type Frame = readonly Uint8Array[];

export function frameBytes(frame: Frame): number {
  return frame.reduce((sum, { length }) => sum + length, 0);
}

/** A `changes` or `push_changes` message around change sets in JSON. */
export function changeSetsFrame(
  kind: keyof typeof OPENING,
  changeSets: readonly Uint8Array[],
): Frame {
  return [...inBlocks([OPENING[kind], ...joined(changeSets), CLOSING])];
}

/** What is made ready for a page of changes; most answers are small. */
const FIRST_PAGE_BYTES = 4 * 1024;
/** Of a page, what is around and between its change sets included. */
const FRAME_BYTES_A_BYTE = 1.02;
/** What is longer is not copied into a page, but sent as it was read. */
const COPIED_BYTES_MAX = 1024 * 1024;

/** `changes` messages, one after the other, each written change set by change set. */
export class PageWriter {
  readonly #builder: ByteBuilder;
  /** All but what is in the builder. */
  #pieces: Uint8Array[] = [];
  #piecesBytes = 0;
  #isEmpty = true;

  /** @param pageBytes about what a message grows to, unless it stays small */
  constructor(pageBytes: number) {
    const grownCapacity = Math.ceil(pageBytes * FRAME_BYTES_A_BYTE);
    this.#builder = new ByteBuilder(FIRST_PAGE_BYTES, grownCapacity);
  }

  /** In bytes, of what has been added. */
  get length(): number {
    return this.#piecesBytes + this.#builder.length;
  }

  /** @param json of a change set */
  add(json: Uint8Array): void {
    this.#builder.add(this.#isEmpty ? OPENING.changes : COMMA);
    this.#isEmpty = false;
    if (json.length <= COPIED_BYTES_MAX) {
      this.#builder.add(json);
      return;
    }
    // The builder's own is overwritten by what comes next.
    this.#addPiece(Buffer.from(this.#builder.take()));
    this.#addPiece(json);
  }

  #addPiece(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#piecesBytes += piece.length;
  }

  /** The message, lent until the next one is written. */
  take(): Frame {
    if (this.#isEmpty) this.#builder.add(OPENING.changes);
    this.#isEmpty = true;
    this.#builder.add(CLOSING);
    this.#addPiece(this.#builder.take());
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#piecesBytes = 0;
    return pieces;
  }
}

const CHUNK_OPENING = Buffer.from('{"type":"snapshot_chunk","chunk":');
const CHUNK_CLOSING = Buffer.from('}');

/** @param chunk is copied: it is only lent */
export function snapshotChunkFrame(chunk: Uint8Array): Frame {
  return [Buffer.concat([CHUNK_OPENING, chunk, CHUNK_CLOSING])];
}

/** What of a page is put together at most before it is handed over: many small pieces would cost a write each. */
const BLOCK_BYTES = 64 * 1024;

/** An answer in pieces, which are given up one by one as it is taken. */
export interface PiecedAnswer {
  /** Bytes of all of them. */
  length: number;
  /** To be read once, to its end or not. */
  blocks(): Generator<Uint8Array>;
}

/** The answer to `GET /changes`. Nothing of it is copied but what is small, when its turn comes. */
export function changesPageJson(page: {
  changeSets: readonly Uint8Array[];
  hasMore: boolean;
  watermark: string;
}): PiecedAnswer {
  const { changeSets, hasMore, watermark } = page;
  const pieces = [
    Buffer.from('{"ok":true,"data":{"changes":['),
    ...joined(changeSets),
    Buffer.from(`],"hasMore":${hasMore},"watermark":"${watermark}"}}`),
  ];
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return { length, blocks: () => inBlocks(pieces) };
}

/** A page that has begun is cut where the client may not see the rest of it: it will ask again. */
export async function* blocksWhile(
  mayGoOn: () => Promise<boolean>,
  page: PiecedAnswer,
): AsyncGenerator<Uint8Array> {
  for (const block of page.blocks()) {
    if (!(await mayGoOn())) {
      throw new SyncError('GET_CHANGES_ERROR', 'what this client may see has changed: ask again');
    }
    yield block;
  }
}

/** Empties `pieces`. */
function* inBlocks(pieces: Uint8Array[]): Generator<Uint8Array> {
  pieces.reverse();
  while (pieces.length > 0) {
    const block: Uint8Array[] = [];
    let bytes = 0;
    for (let next = pieces.at(-1); next !== undefined; next = pieces.at(-1)) {
      if (bytes > 0 && bytes + next.length > BLOCK_BYTES) break;
      block.push(next);
      bytes += next.length;
      pieces.pop();
    }
    const [only] = block;
    yield block.length === 1 && only !== undefined ? only : Buffer.concat(block, bytes);
  }
}
