import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer, temporaryDirectory } from '../support/server.ts';
import { startDeployment } from './deployment.ts';
import { contentsOf } from './look.ts';
import { rawRequest } from './raw-http.ts';
import { type Connect, overHttp, overWebSocket } from './transport.ts';

const TRANSPORTS: [name: string, connect: Connect][] = [
  ['HTTP', overHttp],
  ['WebSocket', overWebSocket],
];
const STORES: ['memory:' | undefined, string][] = [
  ['memory:', 'memory'],
  [undefined, 'LevelDB'],
];

const LONGEST = `${'A'.repeat(127)}b`;

/** Ids that a careless disk, path or pattern would take for one another. */
const SEPARATE_IDS = [
  'default',
  'Default',
  'DEFAULT',
  'a',
  'A',
  'a.',
  'a:',
  'a_',
  'a-',
  'a:b',
  'a_b',
  '.',
  '..',
  '...',
  '-',
  ':',
  'con',
  'NUL',
  'LOCK',
  'db-a',
  'status',
  'metrics',
  'changes',
  'snapshot',
  'ws',
  '__proto__',
  'constructor',
  LONGEST,
  LONGEST.toLowerCase(),
  LONGEST.slice(1),
];

for (const [storage, storeName] of STORES) {
  for (const [name, connect] of TRANSPORTS) {
    test(`two ids never share a store (${name}, ${storeName})`, async (t) => {
      const dataParent = temporaryDirectory();
      const dataDir = join(dataParent, 'data');
      mkdirSync(dataDir);
      const server = await startServer(t, {
        config: storage === undefined ? { dataDir } : { dataDir, storage },
      });
      const a = new Device(1);
      // Without a dot segment, which a polite HTTP client resolves before it sends.
      const ids = SEPARATE_IDS.filter((id) => connect === overWebSocket || !/^\.\.?$/.test(id));
      const sites = new Set<string>();
      for (const [i, databaseId] of ids.entries()) {
        const anna = await connect(server, { siteId: a.siteId, databaseId }, t);
        await anna.apply(a.write({ pk: [i], set: { id: databaseId } }));
      }
      for (const [i, databaseId] of ids.entries()) {
        const ben = await connect(server, { siteId: new Device(2).siteId, databaseId }, t);
        const chunks = await ben.snapshot();
        assert.deepEqual(contentsOf(chunks), { [`t [${i}] id`]: databaseId }, databaseId);
        sites.add(String(chunks[0]?.siteId));
      }
      assert.equal(sites.size, ids.length, 'each has a coordinator site id of its own');
      assert.deepEqual(readdirSync(dataParent), ['data'], 'nothing is written beside it');
    });
  }
}

test('a named database and the one without a name are one: default', async (t) => {
  const server = await startDeployment(t);
  const a = new Device(1);
  const anna = await overHttp(server, a, t);
  await anna.apply(a.write({ pk: [1], set: { x: 1 } }));
  for (const connect of [overHttp, overWebSocket]) {
    const named = await connect(server, { siteId: a.siteId, databaseId: 'default' }, t);
    assert.deepEqual(contentsOf(await named.snapshot()), { 't [1] x': 1 });
  }
});

test('both transports speak of the same data', async (t) => {
  const server = await startDeployment(t);
  const a = new Device(1);
  const site = { siteId: a.siteId, databaseId: 'both' };
  const first = await overHttp(server, site, t);
  const second = await overWebSocket(server, { ...site, siteId: new Device(2).siteId }, t);
  await first.apply(a.write({ pk: [1], set: { x: 1 } }));
  const [received] = await second.changesSince();
  assert.equal(received?.siteId, a.siteId);
  const overTheOther = await overHttp(server, { ...site, siteId: new Device(3).siteId }, t);
  assert.deepEqual(await overTheOther.changesSince(), [received], 'at the same position');
});

const WRONG_IDS = [
  '',
  ' ',
  'a b',
  'a/b',
  '../a',
  'a\\b',
  'ä',
  'a\u0000',
  'a%2fb',
  `${LONGEST}x`,
  '*',
];

test('an id that is none is refused by the handshake for good', async (t) => {
  const server = await startServer(t);
  for (const databaseId of WRONG_IDS) {
    const client = await TestClient.open(server.wsUrl);
    t.after(() => client.socket.terminate());
    client.send({ type: 'handshake', siteId: new Device(1).siteId, databaseId });
    const { code, fatal } = await client.next('error');
    assert.deepEqual([code, fatal], ['INVALID_DATABASE_ID', true], JSON.stringify(databaseId));
    await client.closed;
  }
  assert.equal(server.service.status().openStores, 0);
});

test('an id that is none, or no id at all, opens nothing over HTTP', async (t) => {
  const server = await startServer(t);
  const headers = { 'x-site-id': new Device(1).siteId };
  const encoded = WRONG_IDS.filter((id) => id !== '').map((id) => encodeURIComponent(id));
  for (const id of [...encoded, 'a%2Fb', '..%2f..%2fetc', '%2e%2e%2fa', 'a%00b', '%zz', '%']) {
    const { status, json } = await rawRequest(server.httpUrl, {
      path: `/sync/${id}/changes`,
      headers,
    });
    assert.ok(status === 400 || status === 404, `${id}: ${status}`);
    assert.equal(json?.ok, false, `${id} is answered in the envelope`);
    assert.ok(
      ['INVALID_DATABASE_ID', 'MESSAGE_ERROR', 'NOT_FOUND'].includes(json?.error?.code ?? ''),
    );
  }
  for (const path of ['/sync//changes', '/sync/a/b/changes', '/sync/../sync/a/b/changes']) {
    const { status } = await rawRequest(server.httpUrl, { path, headers });
    assert.ok(status === 400 || status === 404, `${path}: ${status}`);
  }
  assert.equal(server.service.status().openStores, 0);
});

test('dots are ids like any other, and lead nowhere else', async (t) => {
  const server = await startDeployment(t);
  const a = new Device(1);
  const headers = { 'x-site-id': a.siteId, 'content-type': 'application/json' };
  for (const id of ['.', '..', '%2e', '%2E%2e', '...']) {
    const path = `/sync/${id}/changes`;
    const body = JSON.stringify([a.write({ pk: [1], set: { id } })]);
    const { status } = await rawRequest(server.httpUrl, { method: 'POST', path, headers, body });
    assert.equal(status, 200, id);
  }
  const contents = async (databaseId: string) => {
    const ben = await overWebSocket(server, { siteId: new Device(2).siteId, databaseId }, t);
    return contentsOf(await ben.snapshot());
  };
  assert.deepEqual(await contents('.'), { 't [1] id': '%2e' });
  assert.deepEqual(await contents('..'), { 't [1] id': '%2E%2e' });
});
