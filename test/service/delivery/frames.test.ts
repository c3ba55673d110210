/** Answers are put together from what was read, as they are taken: never once more as a whole. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  blocksWhile,
  changesPageJson,
  frameBytes,
  PageWriter,
  pushFrame,
  snapshotChunkFrame,
} from '../../../src/service/delivery/frames.ts';

const toPiece = (value: object) => Buffer.from(JSON.stringify(value));

test('a page is given in blocks: what is large as it was read, what is small put together', () => {
  const large = toPiece({ text: 'x'.repeat(1_000_000) });
  const small = Array.from({ length: 5000 }, (_, i) => toPiece({ i, text: 'y'.repeat(90) }));
  const page = changesPageJson({
    changeSets: [...small, large, large, ...small],
    ...{ hasMore: true, watermark: 'w' },
  });
  const blocks = [...page.blocks()];
  const text = Buffer.concat(blocks).toString();
  assert.equal(page.length, Buffer.byteLength(text));
  const { ok, data } = JSON.parse(text);
  assert.deepEqual([ok, data.hasMore, data.watermark], [true, true, 'w']);
  assert.deepEqual(
    data.changes.map(({ i }: { i?: number }) => i),
    [...small.keys(), undefined, undefined, ...small.keys()],
  );
  assert.equal(blocks.filter((block) => block === large).length, 2, 'not copied');
  assert.ok(blocks.length < 30, `${blocks.length} writes`);
  assert.ok(blocks.every((block) => block === large || block.length <= 64 * 1024));
});

test('what is long goes into a message as it was read, and is not copied', () => {
  const long = toPiece({ text: 'x'.repeat(2_000_000) });
  const small = toPiece({ text: 'y' });
  const writer = new PageWriter(1000);
  for (const piece of [small, small, long, long, small]) writer.add(piece);
  const bytes = writer.length;
  const requestId = '"} \u{1f600}';
  const page = writer.take({ hasMore: true, requestId });
  const ending = `],"hasMore":true,"requestId":${JSON.stringify(requestId)}}`;
  assert.equal(frameBytes(page), bytes + Buffer.byteLength(ending));
  const push = pushFrame([small, small, long, long, small]);
  for (const [frame, rest] of [
    [page, { type: 'changes', hasMore: true, requestId }],
    [push, { type: 'push_changes' }],
  ] as const) {
    assert.equal(frame.filter((piece) => piece === long).length, 2);
    const sets = [small, small, long, long, small].map((piece) => JSON.parse(piece.toString()));
    assert.deepEqual(JSON.parse(Buffer.concat(frame).toString()), { ...rest, changeSets: sets });
  }
  // Nothing of it is left for the next one.
  writer.add(small);
  assert.equal(
    Buffer.concat(writer.take({ hasMore: false })).toString(),
    `{"type":"changes","changeSets":[${small}],"hasMore":false}`,
  );
});

test('a chunk of a snapshot is copied, for the next one overwrites it', () => {
  const chunk = toPiece({ text: 'x'.repeat(200_000) });
  const text = chunk.toString();
  const frame = snapshotChunkFrame(chunk);
  chunk.fill(' ');
  assert.equal(Buffer.concat(frame).toString(), `{"type":"snapshot_chunk","chunk":${text}}`);
});

test('a page without changes is whole', () => {
  const page = changesPageJson({ changeSets: [], hasMore: false, watermark: 'w' });
  const text = Buffer.concat([...page.blocks()]).toString();
  assert.equal(text, '{"ok":true,"data":{"changes":[],"hasMore":false,"watermark":"w"}}');
  assert.equal(page.length, text.length);
});

test('a page that has begun is gone on with only while its reader may see it', async () => {
  const changeSets = Array.from({ length: 4 }, () => Buffer.alloc(60_000, ' '));
  const page = changesPageJson({ changeSets, hasMore: false, watermark: 'x' });
  let asked = 0;
  const blocks = blocksWhile(async () => ++asked <= 2, page);
  let given = 0;
  const taken = (async () => {
    for await (const _ of blocks) given++;
  })();
  await assert.rejects(taken, { code: 'GET_CHANGES_ERROR' });
  assert.equal(given, 2);
});
