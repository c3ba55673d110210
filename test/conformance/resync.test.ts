/** Clients that have to start over, since what they may see has changed. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareHlc } from '../../src/clock/hlc.ts';
import { type SiteId, siteIdToText, textToSiteId } from '../../src/clock/site-id.ts';
import type { ClientIdentity, ValidationResult } from '../../src/hooks/types.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import type { ChangeSet } from '../../src/protocol/types.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer, temporaryDirectory } from '../support/server.ts';
import { startDeployment } from './deployment.ts';
import { eachTransport } from './each-transport.ts';
import { overHttp } from './transport.ts';

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
  const server = await startServer(t, {
    config: {
      storage: 'memory:',
      hooks: { onReject: 'revert' },
      limits: { heldBytesPerSite: 100 },
    },
    hooks: { onBeforeApplyChanges: ({ siteId }, sets) => refuseAllOf(ann, siteId, sets) },
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
    const cut = await server.service.handleSnapshot(identity, access);
    await cut.close();
  });
  await assert.rejects(again.changesSince(), /SNAPSHOT_REQUIRED/);
  await again.snapshot();
  await again.changesSince();
});

test('who once held too much is told once more what is older, by pushes and by answers, and nobody else is', async (t) => {
  const server = await startServer(t, {
    config: {
      storage: 'memory:',
      hooks: { onReject: 'revert' },
      limits: { heldBytesPerSite: 100 },
    },
    hooks: { onBeforeApplyChanges: ({ siteId }, sets) => refuseAllOf(ann, siteId, sets) },
  });
  const author = await TestClient.join(server.wsUrl, writer, t);
  await author.apply(writer.write({ pk: [1], set: { x: 1 } }));
  const late = [2, 3].map((x) => writer.write({ pk: [1], set: { x } }));
  const first = await TestClient.join(server.wsUrl, ann, t);
  ann.wallTime = writer.wallTime;
  await first.apply(ann.write({ pk: [1], set: { x: 'bad' } }));
  assert.equal((await first.next('error')).code, 'SNAPSHOT_REQUIRED');
  const told = await TestClient.join(server.wsUrl, ann, t);
  const [header] = await told.snapshot();
  const other = await TestClient.join(server.wsUrl, ben, t);
  const valuesOf = (sets: readonly WireChangeSet[]) =>
    sets.flatMap(({ changes }) => changes.map((change) => 'value' in change && change.value));
  const pushedTo = async (client: TestClient, values: unknown[]) => {
    const sets: WireChangeSet[] = [];
    while (valuesOf(sets).length < values.length) sets.push(...(await client.nextPush()));
    assert.deepEqual(valuesOf(sets), values);
    return sets;
  };
  const beats = ({ changes: [change] }: WireChangeSet) =>
    compareHlc(change?.hlc ?? '', ann.hlc(ann.wallTime - 1)) > 0;
  // First its session has to look that up, then it is known.
  for (const [i, set] of late.entries()) {
    await author.apply(set);
    const pushed = await pushedTo(told, [i + 2, i + 2]);
    assert.deepEqual(pushed.map(beats), [false, true]);
    await pushedTo(other, [i + 2]);
  }
  assert.deepEqual(valuesOf(await told.changesSince(String(header?.hlc))), [2, 2, 3, 3]);
  assert.deepEqual(valuesOf(await other.changesSince(String(header?.hlc))), [2, 3]);
  const overHttpOf = async (device: Device) => (await overHttp(server, device, t)).changesSince();
  assert.deepEqual(valuesOf(await overHttpOf(ann)).slice(-4), [2, 2, 3, 3]);
  assert.deepEqual(valuesOf(await overHttpOf(ben)), [1, 2, 3]);
});

function refuseAllOf(device: Device, siteId: SiteId, sets: ChangeSet[]): ValidationResult {
  if (siteIdToText(siteId) !== device.siteId) return { approved: sets, rejected: [] };
  const hlcs = sets.flatMap(({ changes }) => changes.map(({ hlc }) => hlc));
  return { approved: [], rejected: hlcs.map((hlc) => ({ reason: 'no', code: 'NO', hlc })) };
}
