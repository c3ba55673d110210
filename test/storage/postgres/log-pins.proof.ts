/** Readers of the log on one coordinator, and another one that shortens it. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, type TestContext, test } from 'node:test';
import webhook, { type WebhookOptions } from '../../../src/hooks/builtin/webhook.ts';
import type { WireChangeSet } from '../../../src/protocol/schemas.ts';
import { Device } from '../../../src/testing/device.ts';
import { TestClient } from '../../../src/testing/test-client.ts';
import { startPostgres } from '../../support/postgres.ts';
import { startServer, type TestServer, temporaryDirectory } from '../../support/server.ts';
import { SECRET, startEndpoint } from '../../support/webhook-endpoint.ts';

const postgres = await startPostgres(['-c', 'fsync=off']);
after(() => postgres.stop());

const CHANGES = 300;

/** A node with a webhook whose endpoint is down, and whose queue takes one event. */
async function startTelling(t: TestContext, storage: string) {
  const endpoint = await startEndpoint(t);
  let isDown = true;
  endpoint.answer = (response) => {
    if (isDown) response.writeHead(500).end();
    return isDown;
  };
  const options: WebhookOptions = {
    url: endpoint.url,
    secret: SECRET,
    directory: path.join(temporaryDirectory(), 'queue'),
    queueMax: 1,
    backoffMinMs: 5,
    backoffMaxMs: 20,
  };
  const start = () => startServer(t, { config: { storage, hooks: [[webhook, options]] } });
  return {
    endpoint,
    start,
    recover: () => {
      isDown = false;
    },
  };
}

async function writeAll(t: TestContext, wsUrl: string): Promise<WireChangeSet[]> {
  const device = new Device(1);
  const client = await TestClient.join(wsUrl, device, t);
  const written = Array.from({ length: CHANGES }, (_, x) => device.write({ pk: [1], set: { x } }));
  for (const changeSet of written) {
    assert.equal((await client.apply(changeSet)).type, 'apply_result');
  }
  return written;
}

/** Waits until a change that comes after all others has been told. @returns what was told before it */
async function toldBefore(
  t: TestContext,
  wsUrl: string,
  endpoint: Awaited<ReturnType<typeof startEndpoint>>,
): Promise<string[]> {
  const device = new Device(9);
  const last = device.write({ pk: ['last'], set: { x: 1 } });
  await (await TestClient.join(wsUrl, device, t)).apply(last);
  const ids = await endpoint.took((told) => told.includes(last.transactionId));
  return ids.filter((id) => id !== last.transactionId);
}

/** What has been told may go, whoever shortens the log: one row was written again and again. */
async function compactAll(...nodes: TestServer[]): Promise<void> {
  let changesCompacted = 0;
  while (changesCompacted < CHANGES - 1) {
    for (const { service } of nodes) {
      changesCompacted += (await service.maintain('default')).changesCompacted;
    }
  }
}

const idsOf = (written: readonly WireChangeSet[]) =>
  written.map(({ transactionId }) => transactionId);

test('a log that another node shortens hides nothing from a webhook', async (t) => {
  const storage = postgres.url();
  const { endpoint, start, recover } = await startTelling(t, storage);
  const one = await start();
  const two = await startServer(t, { config: { storage } });
  const written = await writeAll(t, one.wsUrl);
  await two.service.maintain('default');
  recover();
  assert.deepEqual(await toldBefore(t, one.wsUrl, endpoint), idsOf(written));
  await compactAll(one, two);
});

test('nor while the node of the webhook is down', async (t) => {
  const storage = postgres.url();
  const { endpoint, start, recover } = await startTelling(t, storage);
  const one = await start();
  const written = await writeAll(t, one.wsUrl);
  await one.stop();
  const two = await startServer(t, { config: { storage } });
  await two.service.maintain('default');
  recover();
  const again = await start();
  assert.deepEqual(await toldBefore(t, again.wsUrl, endpoint), idsOf(written));
});

test('what is written through another node is told as well, and pins the log no longer', async (t) => {
  const storage = postgres.url();
  const { endpoint, start, recover } = await startTelling(t, storage);
  recover();
  const one = await start();
  const two = await startServer(t, { config: { storage } });
  const device = new Device(2);
  const first = device.write({ pk: ['first'], set: { x: 1 } });
  await (await TestClient.join(one.wsUrl, device, t)).apply(first);
  const written = await writeAll(t, two.wsUrl);
  await one.service.maintain('default');
  const told = await endpoint.took((ids) => ids.length >= CHANGES + 1);
  assert.deepEqual(told, idsOf([first, ...written]));
  await compactAll(one, two);
});

test('two nodes with a webhook each keep the log for both of them', async (t) => {
  const storage = postgres.url();
  const nodes = [await startTelling(t, storage), await startTelling(t, storage)] as const;
  const [one, two] = [await nodes[0].start(), await nodes[1].start()];
  const device = new Device(2);
  const other = await TestClient.join(two.wsUrl, device, t);
  const first = device.write({ pk: ['first'], set: { x: 1 } });
  await other.apply(first);
  const written = await writeAll(t, one.wsUrl);
  // One tells all and lets go; the other has yet to read.
  nodes[0].recover();
  await nodes[0].endpoint.took((ids) => ids.length >= CHANGES);
  await one.service.maintain('default');
  await two.service.maintain('default');
  nodes[1].recover();
  const told = await toldBefore(t, two.wsUrl, nodes[1].endpoint);
  assert.deepEqual(told, idsOf([first, ...written]));
});
