/** Builds messages to clients from pieces of JSON. */

import { ByteBuilder } from '../../engine/records/byte-builder.ts';
import { SyncError } from '../../errors/sync-error.ts';

const CHANGES_OPENING = Buffer.from('{"type":"changes","changeSets":[');
const PUSH_OPENING = Buffer.from('{"type":"push_changes","changeSets":[');
const COMMA = Buffer.from(',');
const CLOSING = Buffer.from(']}');

/** What a `changes` message says of the answer that it belongs to. */
export interface ChangesEnding {
  /** Whether another message of this answer follows. */
  hasMore: boolean;
  /** That of the request. */
  requestId?: string | undefined;
}

function changesClosing({ hasMore, requestId }: ChangesEnding): Buffer {
  // Without the brace that opens it.
  return Buffer.from(`],${JSON.stringify({ hasMore, requestId }).slice(1)}`);
}

function* joined(pieces: readonly Uint8Array[]): Generator<Uint8Array> {
  let isFirst = true;
  for (const piece of pieces) {
    if (!isFirst) yield COMMA;
    isFirst = false;
    yield piece;
  }
}

/** A message in pieces, so that a long change set is not copied. */
export type Frame = readonly Uint8Array[];

export function frameBytes(frame: Frame): number {
  return frame.reduce((sum, { length }) => sum + length, 0);
}

/** A `push_changes` message around change sets in JSON. */
export function pushFrame(changeSets: readonly Uint8Array[]): Frame {
  return [...inBlocks([PUSH_OPENING, ...joined(changeSets), CLOSING])];
}

/** The initial capacity for a page; most pages are small. */
const FIRST_PAGE_BYTES = 4 * 1024;
/** A page's length in proportion to that of its change sets. */
const FRAME_BYTES_A_BYTE = 1.02;
/** A longer change set is not copied into the page, but sent as it was read. */
const COPIED_BYTES_MAX = 1024 * 1024;

/** Writes `changes` messages one after the other, change set by change set. */
export class PageWriter {
  readonly #builder: ByteBuilder;
  /** The finished pieces; the rest is in the builder. */
  #pieces: Uint8Array[] = [];
  #piecesBytes = 0;
  #isEmpty = true;

  /** @param pageBytes the approximate length of a message that does not stay small */
  constructor(pageBytes: number) {
    const grownCapacity = Math.ceil(pageBytes * FRAME_BYTES_A_BYTE);
    this.#builder = new ByteBuilder(FIRST_PAGE_BYTES, grownCapacity);
  }

  /** The bytes that have been added. */
  get length(): number {
    return this.#piecesBytes + this.#builder.length;
  }

  /** @param json a change set */
  add(json: Uint8Array): void {
    this.#builder.add(this.#isEmpty ? CHANGES_OPENING : COMMA);
    this.#isEmpty = false;
    if (json.length <= COPIED_BYTES_MAX) {
      this.#builder.add(json);
      return;
    }
    // Copied, because the builder overwrites its buffer.
    this.#addPiece(Buffer.from(this.#builder.take()));
    this.#addPiece(json);
  }

  #addPiece(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#piecesBytes += piece.length;
  }

  /** The message. It is valid until the next one is written. */
  take(ending: ChangesEnding): Frame {
    if (this.#isEmpty) this.#builder.add(CHANGES_OPENING);
    this.#isEmpty = true;
    this.#builder.add(changesClosing(ending));
    this.#addPiece(this.#builder.take());
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#piecesBytes = 0;
    return pieces;
  }
}

const CHUNK_OPENING = Buffer.from('{"type":"snapshot_chunk","chunk":');
const CHUNK_CLOSING = Buffer.from('}');

/** @param chunk copied here, since it is only lent */
export function snapshotChunkFrame(chunk: Uint8Array): Frame {
  return [Buffer.concat([CHUNK_OPENING, chunk, CHUNK_CLOSING])];
}

/** Small pieces are joined up to this length, since each block costs a write. */
const BLOCK_BYTES = 64 * 1024;

/** An answer in pieces. Each piece is dropped as soon as it has been taken. */
export interface PiecedAnswer {
  /** In bytes, of all pieces. */
  length: number;
  /** To be called once. */
  blocks(): Generator<Uint8Array>;
}

/** The answer to `GET /changes`. Copies only small pieces, just before they are sent. */
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
  return pieced(pieces);
}

/** The answer to `POST /changes`. */
export function appliedJson(result: Frame): PiecedAnswer {
  return pieced([Buffer.from('{"ok":true,"data":'), ...result, Buffer.from('}')]);
}

/** @param pieces are taken out of it */
function pieced(pieces: Uint8Array[]): PiecedAnswer {
  return { length: frameBytes(pieces), blocks: () => inBlocks(pieces) };
}

/** Ends a page midway with an error once the client may no longer see it; the client asks again. */
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

/** Empties `pieces` as it goes. */
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
