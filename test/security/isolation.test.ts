/** One database's clients get nothing of another's, whatever way they ask. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SyncError } from '../../src/errors/sync-error.ts';
import type { CodeHooks } from '../../src/hooks/loading/code-hooks.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { rawRequest } from '../conformance/raw-http.ts';
import { startServer } from '../support/server.ts';

const SECRET = 'only-in-b';

function createWitness() {
  const asked = new Set<string>();
  const hooks: CodeHooks = {
    onAuthenticate({ token, databaseId, siteId }) {
      asked.add(String(databaseId));
      if (token !== databaseId) throw new SyncError('AUTH_FAILED', 'not yours');
      return { siteId: siteId ?? new Uint8Array(16), userId: token };
    },
    onAuthorize: ({ userId }, { databaseId }) => userId === databaseId,
  };
  return { hooks, asked };
}

async function start(t: Parameters<typeof startServer>[0]) {
  const { hooks, asked } = createWitness();
  const server = await startServer(t, { config: { storage: 'memory:' }, hooks });
  const writer = new Device(1);
  const inB = await TestClient.join(
    server.wsUrl,
    { siteId: writer.siteId, databaseId: 'b', token: 'b' },
    t,
  );
  assert.equal((await inB.apply(writer.write({ pk: [1], set: { x: SECRET } }))).applied, 1);
  return { server, asked, inB, writer };
}

const PATHS = [
  ...['b', '%62', 'B', '%42', '%2562', 'a%2Fb', 'a/../b', 'a%2F..%2Fb', '%2e%2e/b', './b', '.%2Fb'],
  ...['b%00', 'a%00b', 'b%20', 'b.', 'a;b', 'a/b', 'b//', '/b'],
];

test('no path, header or query of a client of one database reads or writes another', async (t) => {
  const { server, asked, inB } = await start(t);
  const forged = JSON.stringify([new Device(2).write({ pk: [9], set: { x: 'forged' } })]);
  const headers = {
    'x-site-id': new Device(2).siteId,
    authorization: 'Bearer a',
    'x-database-id': 'b',
    'x-forwarded-prefix': '/sync/b',
    'x-original-url': '/sync/b/changes',
    'x-http-method-override': 'GET',
  };
  const known = (await rawRequest(server.httpUrl, { path: '/sync/a/changes', headers })).status;
  assert.equal(known, 200);
  for (const operation of ['changes', 'snapshot', 'apply', 'status', 'metrics']) {
    for (const id of PATHS) {
      for (const method of ['GET', 'POST']) {
        const body = method === 'POST' ? forged : undefined;
        const path = `/sync/${id}/${operation}?databaseId=b&database=b`;
        const { text, status } = await rawRequest(server.httpUrl, { method, path, headers, body });
        assert.ok(!text.includes(SECRET), path);
        const isOpen = operation === 'status' || operation === 'metrics';
        assert.ok(status >= 400 || isOpen, `${method} ${path}: ${status}`);
      }
    }
  }
  // A database that is there is answered like one that is not.
  const answers = await Promise.all(
    ['b', 'never'].map(async (id) => {
      const answer = await rawRequest(server.httpUrl, { path: `/sync/${id}/changes`, headers });
      return [answer.status, answer.text];
    }),
  );
  assert.deepEqual(answers[0], answers[1]);
  assert.ok(asked.has('b') && asked.has('a'));
  // Its own are left out; one without changes carries the position on.
  const written = (await inB.changesSince()).flatMap(({ changes }) => changes);
  assert.deepEqual(written, [], 'nothing was written');
});

test('no message, position or checkpoint of one database reaches another', async (t) => {
  const { server, inB, writer } = await start(t);
  const reader = new Device(3);
  const inA = await TestClient.join(
    server.wsUrl,
    { siteId: reader.siteId, databaseId: 'a', token: 'a' },
    t,
  );
  inA.send({ type: 'handshake', siteId: reader.siteId, databaseId: 'b', token: 'b' });
  assert.equal((await inA.next('error')).code, 'ALREADY_AUTHENTICATED');
  inA.send({ type: 'get_changes', databaseId: 'b' });
  await inA.nextWhere(({ type }) => type === 'changes' || type === 'error');
  const other = await TestClient.join(
    server.wsUrl,
    { siteId: new Device(4).siteId, databaseId: 'b', token: 'b' },
    t,
  );
  const [header] = await other.snapshot();
  const { snapshotId, siteId, hlc } = header ?? {};
  const checkpoint = {
    ...{ snapshotId, siteId, hlc, lastTableIndex: 0, lastEntryIndex: 0 },
    ...{ completedTables: [], entriesProcessed: 0, createdAt: 0 },
  };
  const chunks = await inA.snapshot(checkpoint);
  assert.notEqual(chunks[0]?.snapshotId, snapshotId, 'it starts afresh');
  assert.ok(typeof hlc === 'string');
  inA.send({ type: 'get_changes', sinceHLC: hlc });
  await inA.nextWhere(({ type }) => type === 'changes' || type === 'error');
  assert.equal((await inB.apply(writer.write({ pk: [2], set: { x: SECRET } }))).applied, 1);
  await other.nextPush();
  await inA.settled();
  assert.ok(!JSON.stringify(inA.log).includes(SECRET));
});

test('what is no id is refused by every route alike, the reports too', async (t) => {
  const { server } = await start(t);
  const answers = new Set<string>();
  for (const id of ['a%2Fb', '%2e%2e%2fb', 'a%20b', 'b%00', '%C3%A9', 'b%0a']) {
    for (const [method, operations] of [
      ['GET', ['changes', 'snapshot', 'status', 'metrics']],
      ['POST', ['changes', 'apply', 'snapshot']],
    ] as const) {
      for (const operation of operations) {
        const url = `${server.httpUrl}/${id}/${operation}`;
        const body = method === 'POST' ? '[]' : null;
        const response = await fetch(url, { method, body });
        answers.add(`${response.status} ${await response.text()}`);
      }
    }
  }
  assert.equal(answers.size, 1, [...answers].join('\n'));
  assert.match([...answers].join(), /^400 .*INVALID_DATABASE_ID/);
});
