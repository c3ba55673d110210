/** Whoever meets a limit is counted under its name, so that an operator sees which to look at. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { CONFIG_OPTIONS } from '../../src/config/options.ts';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import { COUNTED_LIMITS, type LimitName } from '../../src/errors/limit-names.ts';
import { defineHooks, judgeChanges } from '../../src/index.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { aMoment } from '../support/moment.ts';
import { connectRaw } from '../support/raw-connection.ts';
import { startServer, type TestServer } from '../support/server.ts';

const FAIL = { timeout: 20_000 };
const KIB = 1024;
const MIB = 1024 * KIB;

/** Not for clients to meet: how an answer is cut, when they are asked whether they are there, how long a stop takes. */
const UNCOUNTED = ['limits.pageBytes', 'limits.pingMs', 'limits.shutdownMs'];

interface Meeting {
  value: number;
  /** What else has to be so. */
  config?: CoordinatorConfigInput['limits'];
  auth?: CoordinatorConfigInput['auth'];
  /** Whether all that is written is rejected, and taken back. */
  isRejecting?: true;
  meet(context: { t: TestContext; server: TestServer }): Promise<unknown>;
}

async function stranger(t: TestContext, { wsUrl }: TestServer): Promise<TestClient> {
  const client = await TestClient.open(wsUrl);
  t.after(() => client.socket.terminate());
  return client;
}

/** More than sockets hold. */
function muchOf(device: Device): WireChangeSet {
  const text = 'x'.repeat(3 * MIB);
  return device.write(...[1, 2, 3, 4, 5, 6].map((pk) => ({ pk: [pk], set: { text } })));
}

/** A client that has asked for more than sockets hold, and takes none of it. */
async function joinStalled(t: TestContext, { wsUrl }: TestServer): Promise<TestClient> {
  const device = new Device(1);
  const writer = await TestClient.join(wsUrl, device, t);
  await writer.apply(muchOf(device));
  const client = await TestClient.join(wsUrl, new Device(2), t);
  client.socket.pause();
  return client;
}

async function metric({ service }: TestServer, name: string) {
  return (await service.metrics.registry.getSingleMetric(name)?.get())?.values ?? [];
}

/** Every row but that with which the table begins. */
const REJECTING = defineHooks({
  name: 'rejecting',
  hooks: {
    onBeforeApplyChanges: (_client, changes) =>
      judgeChanges(changes, ({ pk }) => (pk[0] === 0 ? true : { reason: 'no' })),
  },
});

async function writeInVain(
  { t, server }: { t: TestContext; server: TestServer },
  device = new Device(1),
) {
  const client = await TestClient.join(server.wsUrl, device, t);
  await client.apply(device.write({ pk: [0], set: { a: 1 } }));
  const columns = { a: 1, b: 1, c: 1 };
  const answer = await client.apply(device.write({ pk: [1], set: columns }));
  assert.equal(answer.type, 'apply_result', 'it is answered before it is told to start over');
  assert.equal((await client.next('error')).code, 'SNAPSHOT_REQUIRED');
}

/** Bodies of which one byte comes: what they are going to hold is held for them. */
async function postTwoAtOnce({ t, server }: { t: TestContext; server: TestServer }) {
  const site = new Device(1).siteId;
  const headers = `Host: localhost\r\nX-Site-Id: ${site}\r\nContent-Length: 100000`;
  for (let i = 0; i < 2; i++) {
    const socket = await connectRaw(t, server);
    socket.write(`POST /sync/changes HTTP/1.1\r\n${headers}\r\n\r\n${' '.repeat(90_000)}`);
  }
}

/** Answers that are larger than what sockets hold, and that nobody takes. */
async function getTwoUnread({ t, server }: { t: TestContext; server: TestServer }) {
  const device = new Device(1);
  const writer = await TestClient.join(server.wsUrl, device, t);
  await writer.apply(muchOf(device));
  const headers = `Host: localhost\r\nX-Site-Id: ${new Device(2).siteId}`;
  for (let i = 0; i < 2; i++) {
    const socket = await connectRaw(t, server);
    socket.pause();
    socket.write(`GET /sync/changes HTTP/1.1\r\n${headers}\r\n\r\n`);
  }
}

const MEETINGS: Record<LimitName, Meeting> = {
  'limits.messageBytes': {
    value: 1000,
    async meet({ t, server }) {
      const client = await TestClient.join(server.wsUrl, new Device(1), t);
      client.send({ type: 'ping', padding: 'x'.repeat(2000) });
      assert.equal((await client.closed).code, 1009);
    },
  },
  'limits.changesPerBatch': {
    value: 1,
    async meet({ t, server }) {
      const device = new Device(1);
      const client = await TestClient.join(server.wsUrl, device, t);
      client.send({
        type: 'apply_changes',
        changes: [device.write({ pk: [1], set: { a: 1, b: 2 } })],
      });
      assert.equal((await client.next('error')).code, 'TOO_LARGE');
    },
  },
  'limits.valuesPerMessage': {
    value: 100,
    async meet({ t, server }) {
      const device = new Device(1);
      const client = await TestClient.join(server.wsUrl, device, t);
      const value = Array.from({ length: 100 }, () => 1);
      client.send({ type: 'apply_changes', changes: [device.write({ pk: [1], set: { value } })] });
      assert.equal((await client.next('error')).code, 'TOO_LARGE');
    },
  },
  'limits.valueBytes': {
    value: 256 * KIB,
    async meet({ t, server }) {
      const device = new Device(1);
      const client = await TestClient.join(server.wsUrl, device, t);
      const text = 'x'.repeat(300 * KIB);
      assert.equal(
        (await client.apply(device.write({ pk: [1], set: { text } }))).code,
        'TOO_LARGE',
      );
      assert.equal((await client.apply(device.write({ pk: [1], set: { text: 1 } }))).applied, 1);
    },
  },
  'limits.rowBytes': {
    value: 1000,
    async meet({ t, server }) {
      const device = new Device(1);
      const client = await TestClient.join(server.wsUrl, device, t);
      const text = 'x'.repeat(1000);
      assert.equal(
        (await client.apply(device.write({ pk: [1], set: { text } }))).code,
        'TOO_LARGE',
      );
    },
  },
  'limits.rowBytesPerBatch': {
    value: 1000,
    async meet({ t, server }) {
      const device = new Device(1);
      const client = await TestClient.join(server.wsUrl, device, t);
      const rows = [1, 2].map((key) => ({ pk: [key], set: { text: 'x'.repeat(600) } }));
      assert.equal((await client.apply(device.write(...rows))).applied, 2);
      const both = device.write(...rows.map(({ pk }) => ({ pk, set: { done: 1 } })));
      assert.equal((await client.apply(both)).code, 'TOO_LARGE');
    },
  },
  'limits.columnsPerRow': {
    value: 1,
    async meet({ t, server }) {
      const device = new Device(1);
      const client = await TestClient.join(server.wsUrl, device, t);
      const wide = device.write({ pk: [1], set: { a: 1, b: 1 } });
      assert.equal((await client.apply(wide)).code, 'TOO_LARGE');
    },
  },
  'limits.tablesPerDatabase': {
    value: 1,
    async meet({ t, server }) {
      const device = new Device(1);
      const client = await TestClient.join(server.wsUrl, device, t);
      const tables = ['a', 'b'].map((table) => ({ pk: [1], table, set: { x: 1 } }));
      assert.equal((await client.apply(device.write(...tables))).code, 'TOO_LARGE');
    },
  },
  'limits.ddlBytesPerDatabase': {
    value: 100,
    async meet({ t, server }) {
      const device = new Device(1);
      const client = await TestClient.join(server.wsUrl, device, t);
      const migration = device.migrate('create_table', 'a', { ddl: 'x'.repeat(100) });
      assert.equal((await client.apply(migration)).code, 'TOO_LARGE');
    },
  },
  'limits.catalogBytes': {
    value: 5000,
    async meet({ t, server }) {
      const device = new Device(1);
      const client = await TestClient.join(server.wsUrl, device, t);
      const long = device.migrate('create_table', 'a', { ddl: 'x'.repeat(5000) });
      assert.equal((await client.apply(long)).code, 'TOO_LARGE');
    },
  },
  'limits.heldBytesPerSite': { value: 100, isRejecting: true, meet: writeInVain },
  'limits.heldBytesPerDatabase': { value: 100, isRejecting: true, meet: writeInVain },
  'limits.heldSitesPerDatabase': {
    value: 0,
    config: { heldBytesPerSite: 100 },
    isRejecting: true,
    async meet({ t, server }) {
      const device = new Device(1, 1_700_000_005_000);
      await writeInVain({ t, server }, device);
      const client = await TestClient.join(server.wsUrl, device, t);
      await client.snapshot();
      const watermark = (await client.changesSince()).at(-1)?.hlc;
      const late = new Device(2);
      const other = await TestClient.join(server.wsUrl, late, t);
      await other.apply(late.write({ pk: [0], set: { b: 1 } }));
      assert.equal((await client.next('error')).code, 'SNAPSHOT_REQUIRED', 'its session is ended');
      const again = await TestClient.join(server.wsUrl, device, t);
      await assert.rejects(again.changesSince(watermark), /SNAPSHOT_REQUIRED/);
      await again.snapshot();
      await again.changesSince(watermark);
    },
  },
  'limits.bytesInFlight': { value: 1000, meet: postTwoAtOnce },
  'limits.bytesInFlightPerClient': { value: 1000, meet: postTwoAtOnce },
  'limits.answerBytes': { value: 1000, meet: getTwoUnread },
  'limits.answerBytesPerClient': { value: 1000, meet: getTwoUnread },
  'limits.messagesInFlight': {
    value: 1,
    async meet({ t, server }) {
      const client = await TestClient.join(server.wsUrl, new Device(1), t);
      for (let i = 0; i < 20; i++) client.send({ type: 'get_changes' });
      await client.settled();
    },
  },
  'limits.pipelinedRequests': {
    value: 1,
    async meet({ t, server }) {
      const socket = await connectRaw(t, server);
      socket.write('GET /sync/status HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(3));
      await once(socket.resume(), 'close');
    },
  },
  'limits.messagesPerSecond': {
    value: 50,
    async meet({ t, server }) {
      const client = await TestClient.join(server.wsUrl, new Device(1), t);
      for (let i = 0; i < 3; i++) client.send({ type: 'ping' });
      await client.settled();
    },
  },
  'limits.queuedBytesPerSocket': {
    value: MIB,
    async meet({ t, server }) {
      const client = await joinStalled(t, server);
      client.send({ type: 'get_changes' });
      while (((await metric(server, 'sync_queued_bytes'))[0]?.value ?? 0) < MIB) {
        await aMoment();
      }
      client.send({ type: 'ping' });
    },
  },
  'limits.stalledMs': {
    value: 200,
    async meet({ t, server }) {
      const client = await joinStalled(t, server);
      client.send({ type: 'get_changes' });
    },
  },
  'limits.pongTimeoutMs': {
    value: 50,
    config: { pingMs: 50 },
    async meet({ t, server }) {
      const client = await TestClient.open(server.wsUrl, { autoPong: false });
      t.after(() => client.socket.terminate());
      assert.equal((await client.closed).code, 1013);
    },
  },
  'limits.connections': {
    value: 1,
    async meet({ t, server }) {
      const silent = await connectRaw(t, server);
      const second = await connectRaw(t, server);
      await once(silent.resume(), 'close');
      second.destroy();
    },
  },
  'limits.sessions': {
    value: 1,
    async meet({ t, server }) {
      await TestClient.join(server.wsUrl, new Device(1), t);
      const other = await stranger(t, server);
      other.send({ type: 'handshake', siteId: new Device(2).siteId });
      assert.equal((await other.next('error')).code, 'OVERLOADED');
    },
  },
  'limits.snapshotStreams': {
    value: 1,
    async meet({ t, server }) {
      const client = await joinStalled(t, server);
      client.send({ type: 'get_snapshot' });
      const other = await TestClient.join(server.wsUrl, new Device(3), t);
      while ((await metric(server, 'sync_snapshot_streams'))[0]?.value !== 1) {
        await aMoment();
      }
      other.send({ type: 'get_snapshot' });
      assert.equal((await other.next('error')).code, 'OVERLOADED');
    },
  },
  'limits.sharePerUser': {
    value: 1,
    async meet({ t, server }) {
      const client = await joinStalled(t, server);
      client.send({ type: 'get_snapshot' });
      const other = await TestClient.join(server.wsUrl, new Device(3), t);
      while ((await metric(server, 'sync_snapshot_streams'))[0]?.value !== 1) {
        await aMoment();
      }
      other.send({ type: 'get_snapshot' });
      const { code, message } = await other.next('error');
      assert.equal(code, 'OVERLOADED');
      assert.match(String(message), /limits\.snapshotStreams: limits\.sharePerUser \(1 %\) of 64/);
    },
  },
  'limits.snapshotBytesPerSecond': {
    value: 512 * MIB,
    config: { snapshotStreams: 1, stalledMs: 500 },
    async meet({ t, server }) {
      const slow = await joinStalled(t, server);
      slow.send({ type: 'get_snapshot' });
      while ((await metric(server, 'sync_snapshot_streams'))[0]?.value !== 1) {
        await aMoment();
      }
      const other = await TestClient.join(server.wsUrl, new Device(3), t);
      for (;;) {
        other.send({ type: 'get_snapshot' });
        const { type } = await other.nextWhere(({ type }) => /error|complete/.test(type));
        if (type === 'snapshot_complete') return;
      }
    },
  },
  'limits.unauthenticatedSockets': {
    value: 1,
    async meet({ t, server }) {
      const clients = [await stranger(t, server), await stranger(t, server)];
      const { code } = await Promise.race(clients.map(({ closed }) => closed));
      assert.equal(code, 1013);
    },
  },
  'limits.handshakeBytes': {
    value: 100,
    async meet({ t, server }) {
      const client = await stranger(t, server);
      client.send({ type: 'ping', padding: 'x'.repeat(200) });
      assert.equal((await client.closed).code, 1009);
    },
  },
  'limits.handshakeTimeoutMs': {
    value: 100,
    meet: async ({ t, server }) => (await stranger(t, server)).closed,
  },
  'limits.requestTimeoutMs': {
    value: 200,
    async meet({ t, server }) {
      const socket = await connectRaw(t, server);
      const site = new Device(1).siteId;
      const headers = `Host: localhost\r\nX-Site-Id: ${site}\r\nContent-Length: 10`;
      socket.write(`POST /sync/changes HTTP/1.1\r\n${headers}\r\n\r\n[`);
      const [answer] = await once(socket, 'data');
      assert.match(String(answer), /^HTTP\/1\.1 408 .*"code":"REQUEST_TIMEOUT"/s);
    },
  },
  'limits.failedLoginsPerMinute': {
    value: 1,
    auth: { mode: 'token-whitelist', tokens: ['good'] },
    async meet({ server }) {
      const headers = { 'x-site-id': new Device(1).siteId };
      const statuses: number[] = [];
      for (const token of ['bad', 'good']) {
        const authorization = `Bearer ${token}`;
        const answer = await fetch(`${server.httpUrl}/changes`, {
          headers: { ...headers, authorization },
        });
        statuses.push(answer.status);
      }
      assert.deepEqual(statuses, [401, 429]);
    },
  },
  'storage.maxOpenDatabases': {
    value: 1,
    async meet({ t, server }) {
      await TestClient.join(server.wsUrl, new Device(1), t);
      const other = await stranger(t, server);
      const { siteId } = new Device(2);
      other.send({ type: 'handshake', siteId, databaseId: 'other' });
      assert.equal((await other.next('error')).code, 'OVERLOADED');
    },
  },
  'storage.maxDatabases': {
    value: 1,
    async meet({ t, server }) {
      const device = new Device(1);
      const first = await TestClient.join(server.wsUrl, device, t);
      await first.apply(device.write({ pk: [1], set: { a: 1 } }));
      const { siteId } = device;
      const other = await TestClient.join(server.wsUrl, { siteId, databaseId: 'other' }, t);
      const { code, fatal } = await other.apply(device.write({ pk: [1], set: { a: 1 } }));
      assert.deepEqual([code, fatal], ['OVERLOADED', false]);
      await other.settled();
      assert.equal((await first.apply(device.write({ pk: [2], set: { a: 1 } }))).applied, 1);
    },
  },
};

async function metBy(server: TestServer, limit: LimitName): Promise<number> {
  const values = await metric(server, 'sync_limits_met_total');
  return values.find(({ labels }) => labels.limit === limit)?.value ?? 0;
}

for (const [name, { value, config: other, auth = {}, isRejecting, meet }] of Object.entries(
  MEETINGS,
)) {
  const limit = COUNTED_LIMITS.find((known) => known === name);
  test(`${name}: who meets it is counted`, FAIL, async (t) => {
    assert.ok(limit !== undefined);
    const [group = '', key = ''] = name.split('.');
    const config: CoordinatorConfigInput = {
      storage: group === 'storage' ? { url: 'memory:', [key]: value } : 'memory:',
      // Some of them leave requests under way.
      limits: { shutdownMs: 100, ...(group === 'limits' ? { ...other, [key]: value } : {}) },
      auth,
      ...(isRejecting ? { hooks: { onReject: 'revert', modules: [REJECTING] } } : {}),
    };
    const server = await startServer(t, { config });
    assert.equal(await metBy(server, limit), 0);
    await meet({ t, server });
    while ((await metBy(server, limit)) === 0) {
      t.signal.throwIfAborted();
      await aMoment();
    }
  });
}

test('every option that bounds what clients cost is counted', () => {
  const limits = CONFIG_OPTIONS.map(({ path }) => path).filter((path) =>
    path.startsWith('limits.'),
  );
  const expected = limits.filter((path) => !UNCOUNTED.includes(path));
  assert.deepEqual(
    COUNTED_LIMITS.filter((path) => path.startsWith('limits.')).sort(),
    expected.sort(),
  );
});
