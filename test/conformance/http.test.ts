import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { compareHlc } from '../../src/clock/hlc.ts';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { startServer } from '../support/server.ts';
import { changesIn, transactionIds } from './look.ts';
import { pageOf, type RawRequest, rawRequest } from './raw-http.ts';

const SITE = new Device(1).siteId;

async function start(t: TestContext, config: CoordinatorConfigInput = {}) {
  const server = await startServer(t, { config: { storage: 'memory:', ...config } });
  const basePath = server.config.basePath === '/' ? '' : server.config.basePath;
  const ask = (path: string, more: Omit<RawRequest, 'path'> = {}) =>
    rawRequest(server.httpUrl, {
      path: `${basePath}${path}`,
      ...more,
      headers: { 'x-site-id': SITE, ...more.headers },
    });
  const post = (path: string, body: unknown) =>
    ask(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  return { server, ask, post };
}

test('every route exists without a database and with one', async (t) => {
  const { ask, post } = await start(t);
  for (const prefix of ['', '/some.Db:1']) {
    for (const path of ['/changes', '/apply']) {
      assert.equal((await post(`${prefix}${path}`, [])).status, 200);
    }
    for (const path of ['/changes', '/status', '/metrics']) {
      assert.equal((await ask(`${prefix}${path}`)).status, 200, `${prefix}${path}`);
    }
    const snapshot = await ask(`${prefix}/snapshot`);
    assert.equal(snapshot.status, 200);
    const header = JSON.parse(snapshot.text.split('\n')[0] ?? '');
    const { snapshotId, siteId, hlc } = header;
    const checkpoint = {
      ...{ snapshotId, siteId, hlc, lastTableIndex: 0, lastEntryIndex: 0 },
      ...{ completedTables: [], entriesProcessed: 0, createdAt: 1 },
    };
    for (const body of [checkpoint, { checkpoint }]) {
      const resumed = await post(`${prefix}/snapshot`, body);
      assert.equal(JSON.parse(resumed.text.split('\n')[0] ?? '').snapshotId, snapshotId);
    }
  }
});

test('routes stand under the base path that is configured', async (t) => {
  for (const basePath of ['/', '/api/v1']) {
    const { ask } = await start(t, { basePath });
    assert.equal((await ask('/status')).status, 200);
    assert.equal((await ask('/db/changes')).status, 200);
  }
});

test('the status tells nothing that is secret, and needs no site id', async (t) => {
  const tokens = ['s3cret-token'];
  const { server } = await start(t, { auth: { mode: 'token-whitelist', tokens } });
  const { status, json, text } = await rawRequest(server.httpUrl, { path: '/sync/status' });
  assert.equal(status, 200);
  const data = Object(json?.data);
  for (const key of ['protocolVersion', 'uptime', 'openStores', 'connectedClients']) {
    assert.equal(typeof data[key], 'number', key);
  }
  assert.equal(typeof data.version, 'string');
  assert.equal(data.protocolVersion, 1);
  assert.equal(text.includes('s3cret'), false);
  assert.equal(text.includes(server.config.dataDir), false);
});

test('metrics are in the format of Prometheus', async (t) => {
  const { ask } = await start(t);
  await ask('/changes');
  const { status, headers, text } = await ask('/metrics');
  assert.equal(status, 200);
  assert.match(headers['content-type'] ?? '', /^text\/plain/);
  assert.match(text, /^# TYPE \w+ counter$/m);
});

test('answers say what they are: JSON in the envelope, snapshots as NDJSON', async (t) => {
  const { ask, post } = await start(t);
  const a = new Device(1);
  const applied = await post('/apply', { changes: [a.write({ pk: [1], set: { x: 1 } })] });
  assert.match(applied.headers['content-type'] ?? '', /^application\/json/);
  assert.deepEqual(applied.json, {
    ok: true,
    data: { applied: 1, skipped: 0, conflicts: 0, transactions: 1 },
  });
  const page = await ask('/changes');
  assert.match(page.headers['content-type'] ?? '', /^application\/json/);
  assert.deepEqual(Object.keys(Object(page.json?.data)).sort(), [
    'changes',
    'hasMore',
    'watermark',
  ]);
  const snapshot = await ask('/snapshot');
  assert.match(snapshot.headers['content-type'] ?? '', /^application\/x-ndjson/);
  assert.ok(snapshot.text.endsWith('\n'));
  const types = snapshot.text.trimEnd().split('\n');
  assert.equal(JSON.parse(types.at(-1) ?? '').type, 'footer');
});

test('a body is taken whatever its content type says', async (t) => {
  const { ask } = await start(t);
  for (const type of ['application/json', 'application/json; charset=utf-8', 'text/plain', '']) {
    const headers: Record<string, string> = type === '' ? {} : { 'content-type': type };
    const { status } = await ask('/changes', { method: 'POST', headers, body: '[]' });
    assert.equal(status, 200, type);
  }
});

test('the position to go on from is taken from the query or from a header, in any spelling', async (t) => {
  const { ask, post } = await start(t, { sync: { foreignAuthors: 'accept' } });
  const b = new Device(2);
  await post('/changes', [b.write({ pk: [1], set: { x: 1 } })]);
  const { watermark } = pageOf(await ask('/changes'));
  const elsewhere = new Device(50).hlc(1, 0xfbefff);
  assert.match(elsewhere, /[+/]/, 'an HLC that URLs do something to');
  for (const [hlc, count] of [
    [watermark, 0],
    [elsewhere, 1],
  ] as const) {
    const spellings = [
      encodeURIComponent(hlc),
      hlc.replaceAll('+', '-').replaceAll('/', '_'),
      hlc.replaceAll('+', '%20'),
      hlc,
    ];
    for (const spelling of spellings) {
      const page = pageOf(await ask(`/changes?sinceHLC=${spelling}`));
      assert.equal(page.changes.length, count, spelling);
    }
    const page = pageOf(await ask('/changes', { headers: { 'X-Since-HLC': hlc } }));
    assert.equal(page.changes.length, count);
  }
});

test('pages hold whole transactions, and a walk along the watermarks misses none', async (t) => {
  const { ask, post } = await start(t, { sync: { batchSize: 10, foreignAuthors: 'accept' } });
  const b = new Device(2);
  const row = (i: number, columns: number) => ({
    pk: [i],
    set: Object.fromEntries(Array.from({ length: columns }, (_, c) => [`c${c}`, c])),
  });
  const sent = [1, 4, 25, 3, 3, 3, 3, 10, 1].map((columns, i) => b.write(row(i, columns)));
  await post('/changes', sent);
  for (const limit of [undefined, 1, 7, 10, 1_000_000]) {
    const received: WireChangeSet[] = [];
    const sizes: number[] = [];
    let since = '';
    for (let hasMore = true; hasMore; ) {
      const query = limit === undefined ? '' : `&limit=${limit}`;
      const page = pageOf(await ask(`/changes?sinceHLC=${encodeURIComponent(since)}${query}`));
      assert.ok(page.changes.length > 0, 'a page with more to come moves on');
      const newest = page.changes.at(-1)?.hlc ?? '';
      if (page.hasMore)
        assert.ok(compareHlc(page.watermark, newest) > 0, 'it says that more follows');
      else assert.equal(page.watermark, newest);
      received.push(...page.changes);
      const size = changesIn(page.changes).length;
      assert.ok(size <= Math.min(limit ?? 10, 10) || page.changes.length === 1, 'about the limit');
      sizes.push(size);
      ({ hasMore, watermark: since } = page);
    }
    assert.deepEqual(transactionIds(received), transactionIds(sent));
    assert.ok(sizes.length > 1, 'sync.batchSize bounds what a client may ask for');
  }
});

test('the first page of all is short, and those after it are not', async (t) => {
  const KIB = 1024;
  const { ask, post } = await start(t, { sync: { foreignAuthors: 'accept' } });
  const b = new Device(2);
  const sent = Array.from({ length: 100 }, (_, i) =>
    b.write({ pk: [i], set: { x: 'x'.repeat(10 * KIB) } }),
  );
  await post('/changes', sent);
  const first = pageOf(await ask('/changes'));
  const size = JSON.stringify(first.changes).length;
  assert.ok(first.hasMore && size > 200 * KIB && size <= 256 * KIB, `${size} bytes`);
  const since = encodeURIComponent(first.watermark);
  const next = pageOf(await ask(`/changes?sinceHLC=${since}`));
  assert.equal(next.hasMore, false);
  assert.deepEqual(transactionIds([...first.changes, ...next.changes]), transactionIds(sent));
});

test('a page with nothing but own changes carries the watermark past them', async (t) => {
  const { ask, post } = await start(t);
  const a = new Device(1);
  await post('/changes', [
    a.write({ pk: [1], set: { x: 1 } }),
    a.write({ pk: [2], set: { x: 1 } }),
  ]);
  const page = pageOf(await ask('/changes'));
  assert.deepEqual(changesIn(page.changes), []);
  assert.equal(page.changes.at(-1)?.hlc, page.watermark);
  const next = pageOf(await ask(`/changes?sinceHLC=${encodeURIComponent(page.watermark)}`));
  assert.deepEqual(next, { changes: [], hasMore: false, watermark: page.watermark });
});

test('a token is taken from Authorization, with Bearer or bare', async (t) => {
  const tokens = ['good', 'Bearer-like'];
  const { ask } = await start(t, { auth: { mode: 'token-whitelist', tokens } });
  for (const authorization of ['Bearer good', 'bearer good', 'good', 'Bearer Bearer-like']) {
    assert.equal(
      (await ask('/changes', { headers: { authorization } })).status,
      200,
      authorization,
    );
  }
  for (const authorization of ['Bearer bad', 'bad', 'Basic good', 'Bearer good ', 'Bearer', '']) {
    const { status, json } = await ask('/changes', { headers: { authorization } });
    // A trailing space is not part of a header's value.
    const expected = authorization === 'Bearer good ' ? 200 : 401;
    assert.equal(status, expected, authorization);
    if (expected === 401) assert.equal(json?.error?.code, 'AUTH_FAILED');
  }
});
