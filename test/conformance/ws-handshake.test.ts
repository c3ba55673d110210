import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { isSiteIdText } from '../../src/clock/site-id.ts';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { aMoment } from '../support/moment.ts';
import { startServer } from '../support/server.ts';
import { contentsOf } from './look.ts';
import type { Chunk } from './transport.ts';

const ANNA = new Device(1);
const { siteId } = ANNA;

async function start(
  t: TestContext,
  config: CoordinatorConfigInput = {},
  hooks: CoordinatorHooks = {},
) {
  const server = await startServer(t, { config: { storage: 'memory:', ...config }, hooks });
  const open = async () => {
    const client = await TestClient.open(server.wsUrl);
    t.after(() => client.socket.terminate());
    return client;
  };
  return { server, open };
}

test('the acknowledgement says who the server is, and which database this is', async (t) => {
  const { server, open } = await start(t);
  const connectionIds = new Set<unknown>();
  for (const databaseId of [undefined, 'default', 'Other:1']) {
    const client = await open();
    client.send({ type: 'handshake', siteId, databaseId, protocolVersion: 1 });
    const before = Date.now();
    const { connectionId, serverSiteId, serverTimeMs, ...rest } =
      await client.next('handshake_ack');
    const expected = databaseId ?? 'default';
    assert.deepEqual(rest, { type: 'handshake_ack', databaseId: expected, protocolVersion: 1 });
    assert.ok(isSiteIdText(serverSiteId));
    assert.ok(Number.isInteger(serverTimeMs));
    assert.ok(before <= Number(serverTimeMs) && Number(serverTimeMs) <= Date.now());
    connectionIds.add(connectionId);
    const [header] = await client.snapshot();
    assert.equal(header?.siteId, serverSiteId, 'the coordinator site id of this database');
  }
  assert.equal(connectionIds.size, 3);
  assert.equal(server.service.status().connectedClients, 3);
});

test('a client that says no version, as the first ones, is accepted as one of version 1', async (t) => {
  const { open } = await start(t);
  const client = await open();
  client.send({ type: 'handshake', siteId });
  assert.equal((await client.next('handshake_ack')).protocolVersion, 1);
});

test('an operator sees what software a client says that it is, and where it lies nothing happens', async (t) => {
  const { server, open } = await start(t);
  const said = [
    undefined,
    { name: 'notes', version: '1.2.0-beta' },
    { name: 'x'.repeat(128) },
    { name: '\u0007";\n', version: '' },
  ];
  for (const [i, client] of said.entries()) {
    const it = await open();
    it.send({ type: 'handshake', siteId: new Device(10 + i).siteId, client });
    await it.next('handshake_ack');
  }
  assert.deepEqual(
    [...server.service.sessions].map(({ software }) => software),
    said,
  );
  const wrong: [place: string, client: unknown][] = [
    ['client', 'notes 1.2'],
    ['client', { version: '1' }],
    ['client.name', { name: 'x'.repeat(129) }],
    ['client.version', { name: 'x', version: 1 }],
    ['client.version', { name: 'x', version: 'x'.repeat(129) }],
  ];
  for (const [place, client] of wrong) {
    const it = await open();
    it.send({ type: 'handshake', siteId, client });
    const { code, message, fatal } = await it.next('error');
    assert.deepEqual([code, fatal], ['MESSAGE_ERROR', false]);
    assert.ok(String(message).includes(place), `${place} in ${message}`);
  }
});

test('another version is refused for good, before anybody is authenticated', async (t) => {
  let authenticated = 0;
  const { open } = await start(
    t,
    { auth: { mode: 'custom' } },
    {
      onAuthenticate: async ({ siteId: site }) => {
        authenticated++;
        return site && { siteId: site };
      },
    },
  );
  for (const handshake of [
    { type: 'handshake', siteId, protocolVersion: 2 },
    { type: 'handshake', siteId, protocolVersion: 0, token: 'bad' },
    { type: 'handshake', protocolVersion: 99, of: 'another shape' },
  ]) {
    const client = await open();
    client.send(handshake);
    const { code, fatal } = await client.next('error');
    assert.deepEqual([code, fatal], ['PROTOCOL_VERSION_MISMATCH', true]);
    assert.equal((await client.closed).code, 4003);
  }
  assert.equal(authenticated, 0);
});

test('refused credentials end the connection for good; what came behind has no effect', async (t) => {
  const tokens = ['good'];
  const { server, open } = await start(t, { auth: { mode: 'token-whitelist', tokens } });
  for (const token of [undefined, 'bad', '', 'Good', 'good ']) {
    const client = await open();
    client.send({ type: 'handshake', siteId, token });
    client.send({ type: 'apply_changes', changes: [ANNA.write({ pk: [1], set: { x: 1 } })] });
    const { code, fatal, message } = await client.next('error');
    assert.deepEqual([code, fatal], ['AUTH_FAILED', true]);
    assert.equal(String(message).includes('good'), false);
    assert.equal((await client.closed).code, 4001);
  }
  const client = await TestClient.join(server.wsUrl, { siteId, token: 'good' }, t);
  assert.deepEqual(contentsOf((await client.snapshot()) as Chunk[]), {});
});

test('a hook that takes too long to authenticate is no reason to give up for good', async (t) => {
  const { open } = await start(
    t,
    { auth: { mode: 'custom' }, hooks: { timeoutMs: 30 } },
    { onAuthenticate: () => new Promise(() => undefined) },
  );
  const client = await open();
  client.send({ type: 'handshake', siteId });
  const { code, fatal } = await client.next('error');
  assert.deepEqual([code, fatal], ['HOOK_FAILED', false]);
  await client.closed;
});

test('a client that the hooks do not let stay is told so, and may try again', async (t) => {
  const { server, open } = await start(t, {}, { onClientConnect: async () => false });
  const client = await open();
  client.send({ type: 'handshake', siteId });
  const { code, fatal } = await client.next('error');
  assert.deepEqual([code, fatal], ['NOT_AUTHORIZED', false]);
  await client.closed;
  assert.equal(server.service.status().connectedClients, 0);
});

test('a full server says that it is, and another time it may not be', async (t) => {
  const { server, open } = await start(t, { limits: { sessions: 1 } });
  const first = await TestClient.join(server.wsUrl, { siteId }, t);
  const client = await open();
  client.send({ type: 'handshake', siteId: new Device(2).siteId });
  const { code, fatal } = await client.next('error');
  assert.deepEqual([code, fatal], ['OVERLOADED', false]);
  assert.equal((await client.closed).code, 1013);
  await first.settled();
});

test('a second handshake is refused and disturbs nothing', async (t) => {
  const { server } = await start(t);
  const client = await TestClient.join(server.wsUrl, { siteId }, t);
  client.send({ type: 'handshake', siteId: new Device(2).siteId, databaseId: 'other' });
  const { code, fatal } = await client.next('error');
  assert.deepEqual([code, fatal], ['ALREADY_AUTHENTICATED', true]);
  assert.equal(server.service.status().connectedClients, 1);
});

test('what comes before the handshake is refused one by one, and the handshake still works', async (t) => {
  const { open } = await start(t);
  const client = await open();
  const early = [
    { type: 'get_changes', requestId: '1' },
    { type: 'apply_changes', changes: [], requestId: '2' },
    { type: 'get_snapshot', requestId: '3' },
  ];
  for (const message of early) {
    client.send(message);
    const { code, fatal, requestId } = await client.next('error');
    assert.deepEqual([code, fatal], ['NOT_AUTHENTICATED', false]);
    assert.equal(requestId, message.requestId);
  }
  client.send({ type: 'ping' });
  await client.next('pong');
  client.send({ type: 'handshake', siteId: 'not one' });
  assert.equal((await client.next('error')).code, 'MESSAGE_ERROR');
  client.send({ type: 'handshake', siteId });
  await client.next('handshake_ack');
});

test('messages right behind the handshake take effect after it, in their order', async (t) => {
  let letIn = () => {};
  const gate = new Promise<void>((resolve) => {
    letIn = resolve;
  });
  const { open } = await start(
    t,
    { auth: { mode: 'custom' }, sync: { foreignAuthors: 'accept' } },
    {
      onAuthenticate: async ({ siteId: site }) => {
        await gate;
        return site && { siteId: site };
      },
    },
  );
  const client = await open();
  const b = new Device(2);
  client.send({ type: 'handshake', siteId });
  client.send({ type: 'get_changes' });
  for (let i = 0; i < 5; i++) {
    const changes = [b.write({ pk: [1], set: { x: i } })];
    client.send({ type: 'apply_changes', changes, requestId: `${i}` });
    client.send({ type: 'get_changes' });
  }
  client.send({ type: 'get_snapshot' });
  letIn();
  await client.next('snapshot_complete');
  const types = client.log.map(({ type }) => type);
  assert.equal(types[0], 'handshake_ack');
  const results = client.log.filter(({ type }) => type === 'apply_result');
  assert.deepEqual(
    results.map(({ requestId, applied }) => [requestId, applied]),
    [0, 1, 2, 3, 4].map((i) => [`${i}`, 1]),
  );
  const answers = client.log.filter(({ type }) => type === 'changes');
  const lengths = answers.map(({ changeSets }) => (changeSets as unknown[]).length);
  for (const [i, length] of lengths.entries()) {
    assert.ok(length >= i, 'each sees at least what was sent before it');
  }
  assert.equal(lengths.length, 6);
  const chunks = client.log.flatMap(({ chunk }) => (chunk === undefined ? [] : [chunk as Chunk]));
  assert.deepEqual(contentsOf(chunks), { 't [1] x': 4 });
});

test('a socket that goes while it is being authenticated leaves nothing behind', async (t) => {
  let letIn = () => {};
  const gate = new Promise<void>((resolve) => {
    letIn = resolve;
  });
  const calls: string[] = [];
  const { server, open } = await start(
    t,
    { auth: { mode: 'custom' } },
    {
      onAuthenticate: async ({ siteId: site, token }) => {
        if (token === 'slow') await gate;
        return site && { siteId: site };
      },
      onClientConnect: async () => calls.push('connect') > 0,
      onClientDisconnect: () => {
        calls.push('disconnect');
      },
    },
  );
  const client = await open();
  client.send({ type: 'handshake', siteId, token: 'slow' });
  client.send({ type: 'apply_changes', changes: [ANNA.write({ pk: [1], set: { x: 1 } })] });
  client.send({ type: 'ping' });
  await client.close();
  while (server.service.connections > 0) await aMoment();
  letIn();
  const next = await TestClient.join(server.wsUrl, { siteId: new Device(2).siteId }, t);
  assert.deepEqual(await next.changesSince(), [], 'what it said has no effect');
  assert.equal(server.service.status().connectedClients, 1);
  await next.close();
  while (server.service.status().connectedClients > 0) await aMoment();
  const connects = calls.filter((call) => call === 'connect').length;
  const disconnects = calls.filter((call) => call === 'disconnect').length;
  assert.equal(connects, disconnects, 'who was told to have come is told to have gone');
});

test('a socket that says nothing is closed after its time, and may come again', async (t) => {
  const { server, open } = await start(t, { limits: { handshakeTimeoutMs: 400 } });
  const joined = await TestClient.join(server.wsUrl, { siteId }, t);
  const [silent, pinging] = [await open(), await open()];
  pinging.send({ type: 'ping' });
  for (const client of [silent, pinging]) {
    const { code, fatal } = await client.next('error');
    assert.deepEqual([code, fatal], ['HANDSHAKE_TIMEOUT', false]);
    await client.closed;
  }
  await joined.settled();
});
