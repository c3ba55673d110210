/** Clients that have to start over, since what they may see has changed. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { siteIdToText, textToSiteId } from '../../src/clock/site-id.ts';
import type { ClientIdentity } from '../../src/hooks/types.ts';
import { readerOf } from '../../src/service/access/rights.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer, temporaryDirectory } from '../support/server.ts';
import { startDeployment } from './deployment.ts';
import { eachTransport } from './each-transport.ts';

const [writer, ann, ben] = [new Device(1), new Device(2), new Device(3)];
const isAnn = ({ siteId }: ClientIdentity) => siteIdToText(siteId) === ann.siteId;

eachTransport(
  'a delta is refused until a whole snapshot has been sent',
  async ({ server, join }) => {
    await (await join(writer)).apply(writer.write({ pk: [1], set: { x: 1 } }));
    const watermark = (await (await join(ann)).changesSince()).at(-1)?.hlc;
    await server.resync(isAnn);
    const client = await join(ann);
    await assert.rejects(client.changesSince(watermark), { code: 'SNAPSHOT_REQUIRED' });
    await assert.rejects(client.changesSince(watermark), { code: 'SNAPSHOT_REQUIRED' });
    const chunks = await client.snapshot();
    const position = String(chunks[0]?.hlc);
    await client.changesSince(position);
    // Nobody else is held to it.
    await (await join(ben)).changesSince(watermark);
  },
);

eachTransport('asking without a position starts over as well', async ({ server, join }) => {
  await (await join(writer)).apply(writer.write({ pk: [1], set: { x: 1 } }));
  const watermark = (await (await join(ann)).changesSince()).at(-1)?.hlc;
  await server.resync(isAnn);
  const client = await join(ann);
  const all = await client.changesSince();
  assert.equal(all.length, 1);
  await client.changesSince(watermark);
});

test('who is connected is told, and is to come back', async (t) => {
  const server = await startDeployment(t, { config: { storage: 'memory:' } });
  const [first, other] = [
    await TestClient.join(server.wsUrl, ann, t),
    await TestClient.join(server.wsUrl, ben, t),
  ];
  assert.equal(await server.resync(isAnn), 1);
  const { code, fatal } = await first.next('error');
  assert.deepEqual([code, fatal], ['SNAPSHOT_REQUIRED', false]);
  assert.equal((await first.closed).code, 1013);
  await other.settled();
});

test('it is remembered across a restart', async (t) => {
  const config = { storage: `leveldb:${temporaryDirectory()}` };
  const first = await startServer(t, { config });
  const author = await TestClient.join(first.wsUrl, writer, t);
  await author.apply(writer.write({ pk: [1], set: { x: 1 } }));
  const client = await TestClient.join(first.wsUrl, ann, t);
  const watermark = (await client.changesSince()).at(-1)?.hlc;
  await first.service.resync(isAnn);
  await first.stop();
  const second = await startServer(t, { config });
  const again = await TestClient.join(second.wsUrl, ann, t);
  await assert.rejects(again.changesSince(watermark), /SNAPSHOT_REQUIRED/);
  await again.snapshot();
  await again.changesSince(watermark);
});

test('a snapshot that was begun before, or not taken whole, does not count', async (t) => {
  const config = { storage: 'memory:', limits: { queuedBytesPerSocket: 64 * 1024 } };
  const server = await startDeployment(t, { config });
  const author = await TestClient.join(server.wsUrl, writer, t);
  const text = 'x'.repeat(100_000);
  for (let i = 0; i < 60; i++) await author.apply(writer.write({ pk: [i], set: { text } }));
  const client = await TestClient.join(server.wsUrl, ann, t);
  const watermark = (await client.changesSince()).at(-1)?.hlc;
  client.send({ type: 'get_snapshot' });
  await client.next('snapshot_chunk');
  client.socket.pause();
  await server.resync(isAnn);
  client.socket.terminate();
  const again = await TestClient.join(server.wsUrl, ann, t);
  await assert.rejects(again.changesSince(watermark), /SNAPSHOT_REQUIRED/);
  again.send({ type: 'get_snapshot' });
  await again.next('snapshot_chunk');
  again.socket.terminate();
  const third = await TestClient.join(server.wsUrl, ann, t);
  await assert.rejects(third.changesSince(watermark), /SNAPSHOT_REQUIRED/);

  // A checkpoint of before is no way around it.
  const checkpoint = {
    snapshotId: 'old',
    siteId: ann.siteId,
    hlc: watermark,
    lastTableIndex: 0,
    lastEntryIndex: 0,
    completedTables: ['main.t'],
    entriesProcessed: 1,
    createdAt: 1,
  };
  const chunks = await third.snapshot(checkpoint);
  assert.notEqual(chunks[0]?.snapshotId, 'old');
  assert.ok(chunks.some(({ type }) => type === 'column-versions'));
  await third.changesSince(watermark);
});

test('nor does one over HTTP that was begun before and is read to its end', async (t) => {
  const server = await startDeployment(t, { config: { storage: 'memory:' } });
  const author = await TestClient.join(server.wsUrl, writer, t);
  const text = 'x'.repeat(1_000_000);
  for (let i = 0; i < 20; i++) await author.apply(writer.write({ pk: [i], set: { text } }));
  const headers = { 'x-site-id': ann.siteId };
  const { data } = (await (
    await fetch(`${server.httpUrl}/changes?limit=1`, { headers })
  ).json()) as { data: { watermark: string } };
  const isRefused = async () => {
    const since = `sinceHLC=${encodeURIComponent(data.watermark)}`;
    const response = await fetch(`${server.httpUrl}/changes?${since}`, { headers });
    // An answer that nobody reads keeps the server from stopping at once.
    await response.arrayBuffer();
    return response.status === 410;
  };
  await TestClient.join(server.wsUrl, ann, t);
  const response = await fetch(`${server.httpUrl}/snapshot`, { headers });
  assert.equal(await server.resync(isAnn), 1);
  assert.match(await response.text(), /"footer"/);
  assert.equal(await isRefused(), true);
  await (await fetch(`${server.httpUrl}/snapshot`, { headers })).text();
  assert.equal(await isRefused(), false);
});

test('a predicate that throws does nothing now, and fails closed later', async (t) => {
  const server = await startDeployment(t, { config: { storage: 'memory:' } });
  const author = await TestClient.join(server.wsUrl, writer, t);
  await author.apply(writer.write({ pk: [1], set: { x: 1 } }));
  const broken = () => {
    throw new Error('broken');
  };
  await assert.rejects(server.resync(broken), /broken/);
  const watermark = (await author.changesSince()).at(-1)?.hlc;
  await author.changesSince(watermark);
  let isBroken = false;
  await server.resync(() => {
    if (isBroken) throw new Error('broken');
    return false;
  });
  isBroken = true;
  const client = await TestClient.join(server.wsUrl, ann, t);
  await assert.rejects(client.changesSince(watermark), /SNAPSHOT_REQUIRED/);
});

test('who holds too much that was refused, and names no position, starts over until a whole snapshot was sent', async (t) => {
  const refuse = { reason: 'no', code: 'NO' };
  const server = await startServer(t, {
    config: {
      storage: 'memory:',
      hooks: { onReject: 'revert' },
      limits: { heldBytesPerSite: 100 },
    },
    hooks: {
      onBeforeApplyChanges: ({ siteId }, sets) =>
        siteIdToText(siteId) === ann.siteId
          ? {
              approved: [],
              rejected: sets.flatMap(({ changes }) =>
                changes.map(({ hlc }) => ({ ...refuse, hlc })),
              ),
            }
          : { approved: [...sets], rejected: [] },
    },
  });
  const author = await TestClient.join(server.wsUrl, writer, t);
  await author.apply(writer.write({ pk: [1], set: { x: 1 } }));
  const first = await TestClient.join(server.wsUrl, ann, t);
  // What would lose to the row that is there is not held, so this device's clock is ahead.
  ann.wallTime = writer.wallTime;
  await first.apply(ann.write({ pk: [1], set: { x: 2 } }));
  assert.equal((await first.next('error')).code, 'SNAPSHOT_REQUIRED');
  const again = await TestClient.join(server.wsUrl, ann, t);
  await assert.rejects(again.changesSince(), /SNAPSHOT_REQUIRED/);
  const identity = { siteId: textToSiteId(ann.siteId) };
  await server.service.withAccess('default', async (access) => {
    const cut = await server.service.delivery.snapshots.open(readerOf(identity), access);
    await cut.close();
  });
  await assert.rejects(again.changesSince(), /SNAPSHOT_REQUIRED/);
  await again.snapshot();
  await again.changesSince();
});
