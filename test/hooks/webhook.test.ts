import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import webhook, { type WebhookOptions } from '../../src/hooks/builtin/webhook.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer, temporaryDirectory } from '../support/server.ts';
import { optionsFor, startEndpoint } from '../support/webhook-endpoint.ts';

async function start(t: TestContext, options: WebhookOptions, dataDir = temporaryDirectory()) {
  const server = await startServer(t, {
    config: { storage: `leveldb:${dataDir}`, hooks: [[webhook, options]] },
    hooks: { onAuthenticate: ({ siteId }) => siteId && { siteId, userId: 'ann' } },
  });
  const join = (device: Device, databaseId = 'default') =>
    TestClient.join(server.wsUrl, { siteId: device.siteId, databaseId }, t);
  return { server, join };
}

test('what was applied is told, signed, with who wrote it, in the order of arrival', async (t) => {
  const endpoint = await startEndpoint(t);
  const { join } = await start(t, optionsFor(endpoint.url));
  const device = new Device(1);
  const client = await join(device);
  const written = [1, 2, 3].map((pk) => device.write({ pk: [pk], set: { x: pk } }));
  for (const changeSet of written) await client.apply(changeSet);
  const ids = await endpoint.took((all) => all.length >= 3);
  assert.deepEqual(
    ids,
    written.map(({ transactionId }) => transactionId),
  );
  const [event] = endpoint.taken;
  assert.deepEqual([event?.type, event?.databaseId], ['changes.applied', 'default']);
  const [transaction] = event?.transactions ?? [];
  assert.deepEqual([transaction?.userId, transaction?.siteId], ['ann', device.siteId]);
  assert.deepEqual(transaction?.changes, written[0]?.changes);
  assert.equal(endpoint.attempts[0]?.['webhook-id'], event?.id);
});

test('an event that is not taken comes again, the same, until it is', async (t) => {
  const endpoint = await startEndpoint(t);
  let failures = 0;
  endpoint.answer = (response) => {
    failures++;
    if (failures > 3) return false;
    // An answer of an error, one that points elsewhere, and none at all.
    if (failures === 1) response.writeHead(500).end();
    if (failures === 2) response.writeHead(302, { location: '/elsewhere' }).end();
    if (failures === 3) response.destroy();
    return true;
  };
  const { join } = await start(t, optionsFor(endpoint.url));
  const device = new Device(1);
  const client = await join(device);
  await client.apply(device.write({ pk: [1], set: { x: 1 } }));
  await endpoint.took((all) => all.length === 1);
  const ids = new Set(endpoint.attempts.map((headers) => headers['webhook-id']));
  assert.deepEqual([endpoint.attempts.length, ids.size], [4, 1]);
});

test('what an endpoint that is down has missed it gets after a restart', async (t) => {
  const endpoint = await startEndpoint(t);
  endpoint.answer = (response) => {
    response.writeHead(503).end();
    return true;
  };
  const [options, dataDir] = [optionsFor(endpoint.url), temporaryDirectory()];
  const device = new Device(1);
  const written = [1, 2, 3].map((pk) => device.write({ pk: [pk], set: { x: pk } }));
  const first = await start(t, options, dataDir);
  const client = await first.join(device, 'one');
  for (const changeSet of written) await client.apply(changeSet);
  await endpoint.attempted(1);
  await first.server.stop();
  endpoint.answer = () => false;
  // Nobody connects: the module knows by itself what it has to tell.
  await start(t, options, dataDir);
  const ids = await endpoint.took((all) => all.length >= 3);
  assert.deepEqual(
    ids,
    written.map(({ transactionId }) => transactionId),
  );
});

test('a queue that is full waits in the log, and nothing is lost', async (t) => {
  const endpoint = await startEndpoint(t);
  let isDown = true;
  endpoint.answer = (response) => {
    if (isDown) response.writeHead(500).end();
    return isDown;
  };
  const options = { ...optionsFor(endpoint.url), queueMax: 2 };
  const { server, join } = await start(t, options);
  const device = new Device(1);
  const client = await join(device);
  const written = Array.from({ length: 20 }, (_, pk) => device.write({ pk: [pk], set: { x: pk } }));
  for (const changeSet of written) await client.apply(changeSet);
  await endpoint.attempted(3);
  const text = await server.service.metrics.registry.metrics();
  const [, queued] = /^sync_hook_webhook_queue_length_events (\d+)$/m.exec(text) ?? [];
  assert.ok(Number(queued) <= 2, `${queued} wait`);
  isDown = false;
  const ids = await endpoint.took((all) => all.length >= 20);
  assert.deepEqual(
    ids,
    written.map(({ transactionId }) => transactionId),
  );
});

test('a log that is shortened meanwhile hides nothing from it', async (t) => {
  const endpoint = await startEndpoint(t);
  let isDown = true;
  endpoint.answer = (response) => {
    if (isDown) response.writeHead(500).end();
    return isDown;
  };
  const { server, join } = await start(t, { ...optionsFor(endpoint.url), queueMax: 1 });
  const device = new Device(1);
  const client = await join(device);
  const written = Array.from({ length: 20 }, (_, x) => device.write({ pk: [1], set: { x } }));
  for (const changeSet of written) await client.apply(changeSet);
  let { changesCompacted } = await server.service.maintain('default');
  assert.ok(changesCompacted < 19, 'what it has yet to read stays');
  isDown = false;
  const ids = await endpoint.took((all) => all.length >= 20);
  assert.deepEqual(
    ids,
    written.map(({ transactionId }) => transactionId),
  );
  // As the queue takes up the rest of the log, more of that may leave it.
  while (changesCompacted < 19) {
    changesCompacted += (await server.service.maintain('default')).changesCompacted;
  }
});

test('only the databases and tables that are named are told of', async (t) => {
  const endpoint = await startEndpoint(t);
  const options = { ...optionsFor(endpoint.url), databases: ['one'], tables: ['told'] };
  const { join } = await start(t, options);
  const device = new Device(1);
  const [one, two] = [await join(device, 'one'), await join(new Device(2), 'two')];
  await two.apply(device.write({ pk: [1], table: 'told', set: { x: 1 } }));
  await one.apply(device.write({ pk: [1], table: 'other', set: { x: 1 } }));
  await one.apply(
    device.write(
      { pk: [1], table: 'told', set: { x: 1 } },
      { pk: [1], table: 'TOLD', schema: 'MAIN', set: { x: 1 } },
      { pk: [1], table: 'other', set: { y: 1 } },
    ),
  );
  await endpoint.took((all) => all.length >= 1);
  const tables = endpoint.taken.flatMap((event) =>
    event.transactions.flatMap(({ changes }) => changes.map(({ table }) => table)),
  );
  assert.deepEqual(tables, ['told', 'TOLD']);
});

test('a database that is not named any more pins its log no longer', async (t) => {
  const endpoint = await startEndpoint(t);
  endpoint.answer = (response) => {
    response.writeHead(500).end();
    return true;
  };
  const options = optionsFor(endpoint.url);
  const dataDir = temporaryDirectory();
  const device = new Device(1);
  const before = await start(t, { ...options, queueMax: 1 }, dataDir);
  const client = await before.join(device, 'one');
  for (let x = 0; x < 20; x++) await client.apply(device.write({ pk: [1], set: { x } }));
  const kept = await before.server.service.maintain('one');
  assert.ok(kept.changesCompacted < 19);
  await before.server.stop();
  const { server, join } = await start(t, { ...options, databases: ['two'] }, dataDir);
  // The queue is open, and with it what is not told any more is let go.
  await (await join(new Device(2), 'two')).apply(new Device(2).write({ pk: [1], set: { x: 1 } }));
  let changesCompacted = kept.changesCompacted;
  while (changesCompacted < 19) {
    changesCompacted += (await server.service.maintain('one')).changesCompacted;
  }
});

test('what was there before the module is not told', async (t) => {
  const endpoint = await startEndpoint(t);
  const dataDir = temporaryDirectory();
  const device = new Device(1);
  const before = await startServer(t, { config: { storage: `leveldb:${dataDir}` } });
  const early = await TestClient.join(before.wsUrl, device, t);
  await early.apply(device.write({ pk: [1], set: { x: 1 } }));
  await before.stop();
  const { join } = await start(t, optionsFor(endpoint.url), dataDir);
  const client = await join(device);
  const written = device.write({ pk: [2], set: { x: 2 } });
  await client.apply(written);
  const ids = await endpoint.took((all) => all.length > 0);
  assert.deepEqual(ids, [written.transactionId]);
});

test('an endpoint that never answers holds up neither clients nor the stop', async (t) => {
  const endpoint = await startEndpoint(t);
  endpoint.answer = () => true;
  const { server, join } = await start(t, { ...optionsFor(endpoint.url), timeoutMs: 60_000 });
  const device = new Device(1);
  const client = await join(device);
  await client.apply(device.write({ pk: [1], set: { x: 1 } }));
  await endpoint.attempted(1);
  assert.equal((await client.apply(device.write({ pk: [2], set: { x: 1 } }))).applied, 1);
  await server.stop();
});

test('a reload hands the queue on, and nothing is lost or told out of order', async (t) => {
  const endpoint = await startEndpoint(t);
  const { server, join } = await start(t, optionsFor(endpoint.url));
  const device = new Device(1);
  const client = await join(device);
  const written = Array.from({ length: 30 }, (_, pk) => device.write({ pk: [pk], set: { x: pk } }));
  const reloads: Promise<void>[] = [];
  for (const [i, changeSet] of written.entries()) {
    if (i % 10 === 5) reloads.push(server.reload(server.config));
    assert.equal((await client.apply(changeSet)).applied, 1);
  }
  await Promise.all(reloads);
  const ids = await endpoint.took((all) => new Set(all).size >= 30);
  const inOrder = [...new Set(ids)];
  assert.deepEqual(
    inOrder,
    written.map(({ transactionId }) => transactionId),
  );
});

test('options that cannot work fail the start', async (t) => {
  const good = optionsFor('http://localhost/');
  for (const [wrong, message] of [
    [{ url: 'ftp://x' }, /options\.url/],
    [{ secret: 'short' }, /options\.secret/],
    [{ directory: undefined }, /options\.directory must be string/],
  ] as const) {
    const options = { ...good, ...wrong };
    const config = { storage: 'memory:', hooks: [[webhook, options]] } as never;
    await assert.rejects(startServer(t, { config }), message);
  }
});
