/** Messages to clients, built from pieces that are JSON already. */

import type { ByteBuilder } from '../engine/byte-builder.ts';

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

/**
 * The same for one page after the other, in memory that is used again.
 * @param builder lends the frame until it is used for the next
 */
export function pageFrame(builder: ByteBuilder, changeSets: readonly Uint8Array[]): Buffer {
  const bytes = changeSets.reduce((sum, { length }) => sum + length + COMMA.length, 0);
  builder.reserve(OPENING.changes.length + bytes + CLOSING.length);
  builder.add(OPENING.changes);
  for (const piece of joined(changeSets)) builder.add(piece);
  builder.add(CLOSING);
  return builder.take();
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
