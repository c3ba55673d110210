/** Messages to clients, built from pieces that are JSON already. */

const OPENING = { changes: 'changes', push: 'push_changes' } as const;
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
  const opening = Buffer.from(`{"type":"${OPENING[kind]}","changeSets":[`);
  return Buffer.concat([opening, ...joined(changeSets), CLOSING]);
}

export function snapshotChunkFrame(chunk: string): string {
  return `{"type":"snapshot_chunk","chunk":${chunk}}`;
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
