import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Snapshot } from '../../../src/engine/snapshot/snapshot.ts';
import { Catalog } from '../../../src/engine/tables/catalog.ts';
import { aliasesOf } from '../../../src/engine/tables/table-aliases.ts';
import { SnapshotStreams } from '../../../src/service/delivery/snapshot-streams.ts';
import { createMemoryStorage } from '../../../src/storage/memory.ts';

const STALLED_MS = 1000;
const CHUNK_BYTES = 2000;
const SITE = 'AAAAAAAAAAAAAAAAAAAAAQ';

function createStreams(sharePerUser = 100) {
  let open = 0;
  const limits = {
    snapshotStreams: 2,
    sharePerUser,
    snapshotBytesPerSecond: 1000,
    stalledMs: STALLED_MS,
  };
  const streams = new SnapshotStreams(limits, () => undefined);
  const tables = {
    async snapshot(): Promise<Snapshot> {
      open++;
      return {
        cursor: { position: '', forgets: 0, isFresh: false },
        headerHlc: '',
        aliases: aliasesOf(await Catalog.load(await createMemoryStorage().open('db'))),
        migrations: async function* () {},
        chunks: (async function* () {
          for (let i = 0; i < 100; i++) yield new Uint8Array(CHUNK_BYTES);
        })(),
        close: async () => {
          open--;
        },
      };
    },
  };
  return {
    streams,
    openViews: () => open,
    take: (holder?: string, queuedBytes?: () => number) =>
      streams.open({ manager: { tables }, holder }, undefined, { queuedBytes, site: SITE }),
  };
}

test('a snapshot that is taken too slowly gives its place up, when somebody waits for one', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { streams, openViews, take } = createStreams();
  let queued = 0;
  const slow = await take('a', () => queued);
  const quick = await take('b');
  const slowChunks = slow.chunks[Symbol.asyncIterator]();
  const quickChunks = quick.chunks[Symbol.asyncIterator]();
  // Nobody can tell yet.
  await assert.rejects(take('c'), { code: 'OVERLOADED', limit: 'limits.snapshotStreams' });
  await slowChunks.next();
  await quickChunks.next();
  // It has been given, but lies before its socket.
  queued = CHUNK_BYTES - 1;
  t.mock.timers.tick(STALLED_MS / 2);
  const third = await take('c');
  assert.deepEqual([streams.size, openViews()], [2, 2]);
  await assert.rejects(slowChunks.next(), {
    code: 'OVERLOADED',
    message: /limits\.snapshotBytesPerSecond \(1000\)/,
  });
  await slow.close();
  assert.deepEqual([streams.size, openViews()], [2, 2]);
  assert.equal((await quickChunks.next()).done, false);
  for (const snapshot of [quick, third]) await snapshot.close();
  assert.deepEqual([streams.size, openViews()], [0, 0]);
});

test('a slow one that nobody waits for goes on', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { take } = createStreams();
  const slow = await take('a');
  t.mock.timers.tick(STALLED_MS * 5);
  let chunks = 0;
  for await (const _chunk of slow.chunks) chunks++;
  assert.equal(chunks, 100);
  await slow.close();
});

test('one user takes its share of them, and others get theirs', async () => {
  const { streams, take } = createStreams(50);
  const one = await take('a');
  await assert.rejects(take('a'), { limit: 'limits.sharePerUser' });
  const other = await take('b');
  await one.close();
  await (await take('a')).close();
  await other.close();
  assert.equal(streams.size, 0);
});

test('when all are taken, who has most gives one up to who has less', async () => {
  const { streams, openViews, take } = createStreams();
  const [first, second] = [await take('eve'), await take('eve')];
  const chunks = first.chunks[Symbol.asyncIterator]();
  await chunks.next();
  const honest = await take('ann');
  assert.deepEqual([streams.size, openViews()], [2, 2]);
  await assert.rejects(chunks.next(), { code: 'OVERLOADED', retryAfterMs: 1000 });
  await assert.rejects(take('eve'), { limit: 'limits.snapshotStreams' });
  await assert.rejects(take('ben'), { limit: 'limits.snapshotStreams' });
  for (const snapshot of [second, honest]) {
    let count = 0;
    for await (const _chunk of snapshot.chunks) count++;
    assert.equal(count, 100);
    await snapshot.close();
  }
  await first.close();
  assert.deepEqual([streams.size, openViews()], [0, 0]);
});
