import assert from 'node:assert/strict';
import { hlcSite } from '../../src/clock/site-id.ts';
import type { WireCheckpoint } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { type Conversation, eachTransport } from './each-transport.ts';
import { cellsIn, contentsOf, last, tablesIn, tombstonesIn, wallTimeMs } from './look.ts';
import type { Chunk, SyncTransport } from './transport.ts';

const ORDER = [
  'header',
  'schema-migration',
  'table-start',
  'column-versions',
  'table-end',
  'tombstone',
  'footer',
];
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** DDL, two tables with rows, some of them deleted. */
async function fill(transport: SyncTransport, device: Device): Promise<void> {
  await transport.apply(
    device.migrate('create_table', 'a'),
    device.migrate('create_table', 'b.c'),
    device.write(
      { table: 'a', pk: [1], set: { x: 1, y: 2 } },
      { table: 'a', pk: [2], set: { x: 3 } },
      { table: 'b.c', pk: [1], set: { x: 4 } },
    ),
    device.write({ table: 'a', pk: [2], delete: true }, { table: 'b.c', pk: [9], delete: true }),
  );
}

function headerOf(chunks: readonly Chunk[]) {
  const [header] = chunks;
  assert.equal(header?.type, 'header');
  return header as Chunk & { siteId: string; hlc: string; snapshotId: string };
}

/** What a receiver writes down after some tables of a snapshot. */
function checkpointOf(chunks: readonly Chunk[], completedTables: string[]): WireCheckpoint {
  const { hlc, snapshotId } = headerOf(chunks);
  return {
    snapshotId,
    siteId: new Device(3).siteId,
    hlc,
    lastTableIndex: completedTables.length,
    lastEntryIndex: 0,
    completedTables,
    entriesProcessed: 3,
    createdAt: Date.now(),
  };
}

eachTransport('a snapshot of nothing is a header and a footer', async ({ join }) => {
  const chunks = await (await join(new Device(1))).snapshot();
  assert.deepEqual(
    chunks.map(({ type }) => type),
    ['header', 'footer'],
  );
  const { snapshotId, snapshotFormat, tableCount, migrationCount } = headerOf(chunks);
  assert.deepEqual([snapshotFormat, tableCount, migrationCount], [1, 0, 0]);
  const footer = {
    type: 'footer',
    snapshotId,
    totalTables: 0,
    totalEntries: 0,
    totalMigrations: 0,
  };
  assert.deepEqual(last(chunks), footer);
});

eachTransport(
  'chunks come in the order of the protocol, and their counts agree',
  async ({ join }) => {
    const a = new Device(1);
    const anna = await join(a);
    await fill(anna, a);
    const chunks = await anna.snapshot();
    const types = chunks.map(({ type }) => type);
    assert.deepEqual(
      types.filter((type, i) => type !== types[i - 1]),
      [...ORDER.slice(0, 5), ...ORDER.slice(2, 5), ...ORDER.slice(5)],
      'DDL, then each table, then tombstones',
    );
    const header = headerOf(chunks);
    assert.equal(header.siteId, hlcSite(header.hlc), 'both are the coordinator’s');
    assert.deepEqual([header.tableCount, header.migrationCount], [2, 2]);
    const { type: _, ...footer } = last(chunks);
    const { snapshotId } = header;
    assert.deepEqual(footer, { snapshotId, totalTables: 2, totalEntries: 3, totalMigrations: 2 });
    for (const [i, chunk] of chunks.entries()) {
      if (chunk.type !== 'table-end') continue;
      const started = chunks.findLast(({ type }, at) => at < i && type === 'table-start');
      assert.deepEqual([started?.schema, started?.table], [chunk.schema, chunk.table]);
      const cells = cellsIn(chunks).filter(({ table }) => table === chunk.table);
      assert.equal(chunk.entriesWritten, cells.length);
    }
    assert.deepEqual(contentsOf(chunks), { 'a [1] x': 1, 'a [1] y': 2, 'b.c [1] x': 4 });
    const gone = tombstonesIn(chunks).map(({ table, pk }) => `${table} ${JSON.stringify(pk)}`);
    assert.deepEqual(gone, ['a [2]', 'b.c [9]']);
  },
);

eachTransport('no chunk holds more than 1,000 entries', async ({ join }) => {
  const a = new Device(1);
  const anna = await join(a);
  const rows = Array.from({ length: 2100 }, (_, i) => ({ pk: [i], set: { x: i } }));
  const deleted = Array.from({ length: 1100 }, (_, i) => ({ pk: [-1 - i], delete: true as const }));
  await anna.apply(a.write(...rows), a.write(...deleted));
  const chunks = await anna.snapshot();
  const sizes = (wanted: string) =>
    chunks
      .filter(({ type }) => type === wanted)
      .map(({ entries }) => (entries as unknown[]).length);
  assert.deepEqual(sizes('column-versions'), [1000, 1000, 100]);
  assert.deepEqual(sizes('tombstone'), [1000, 100]);
  const keys = new Set(cellsIn(chunks).map(({ pk }) => String(pk)));
  assert.equal(keys.size, 2100);
});

eachTransport(
  'the header is the position to go on from, never ahead of the clock',
  async ({ join }) => {
    const a = new Device(1);
    const [anna, carla] = [await join(a), await join(new Device(3))];
    await fill(anna, a);
    const { hlc } = headerOf(await carla.snapshot());
    assert.ok(wallTimeMs(hlc) <= Date.now());
    assert.deepEqual(await carla.changesSince(hlc), []);
    const next = a.write({ table: 'a', pk: [7], set: { x: 7 } });
    await anna.apply(next);
    const since = await carla.changesSince(hlc);
    assert.deepEqual(
      since.map(({ transactionId }) => transactionId),
      [next.transactionId],
    );
  },
);

eachTransport(
  'after the wall jumped back a header is still not ahead of it',
  async ({ t, join }) => {
    const now = Date.now();
    t.mock.timers.enable({ apis: ['Date'], now });
    const a = new Device(1);
    const [anna, carla] = [await join(a), await join(new Device(3))];
    await fill(anna, a);
    t.mock.timers.setTime(now - HOUR_MS);
    const { hlc } = headerOf(await carla.snapshot());
    const behindMs = now - HOUR_MS - wallTimeMs(hlc);
    assert.ok(behindMs >= 0 && behindMs < MINUTE_MS * 1.1, `${behindMs} ms behind the clock`);
    const next = a.write({ table: 'a', pk: [7], set: { x: 7 } });
    await anna.apply(next);
    const since = await carla.changesSince(hlc);
    assert.equal(last(since).transactionId, next.transactionId);
    assert.ok(wallTimeMs(last(since).hlc) >= now, 'positions never go back');
  },
  { movesClock: true },
);

eachTransport(
  'resuming leaves out what is complete and keeps the name of the snapshot',
  async ({ join }) => {
    const a = new Device(1);
    const [anna, carla] = [await join(a), await join(new Device(3))];
    await fill(anna, a);
    const whole = await carla.snapshot();
    await anna.apply(a.write({ table: 'b.c', pk: [2], set: { x: 5 } }));
    const checkpoint = checkpointOf(whole, ['main.a']);
    const rest = await carla.snapshot(checkpoint);
    const { snapshotId, siteId, hlc } = headerOf(rest);
    assert.deepEqual(
      [snapshotId, siteId, hlc],
      [checkpoint.snapshotId, checkpoint.siteId, checkpoint.hlc],
    );
    assert.equal(last(rest).snapshotId, snapshotId);
    const started = rest.filter(({ type }) => type === 'table-start').map(({ table }) => table);
    assert.deepEqual(started, ['b.c']);
    assert.equal(rest.filter(({ type }) => type === 'schema-migration').length, 2);
    const tombstones = (chunks: Chunk[]) =>
      tombstonesIn(chunks).map(({ table, pk }) => [table, pk]);
    assert.deepEqual(tombstones(rest), tombstones(whole), 'tombstones come again in full');
    const since = await carla.changesSince(hlc);
    assert.equal(since.length, 1, 'and what came meanwhile follows the same position');
  },
);

/** A checkpoint that proves nothing is answered with a snapshot from the start. */
async function assertFresh(transport: SyncTransport, checkpoint: WireCheckpoint): Promise<void> {
  const chunks = await transport.snapshot(checkpoint);
  const { snapshotId, siteId, hlc } = headerOf(chunks);
  assert.notEqual(snapshotId, checkpoint.snapshotId);
  assert.equal(siteId, hlcSite(hlc));
  assert.notEqual(hlc, checkpoint.hlc);
  assert.deepEqual(tablesIn(chunks), ['a', 'b.c'], 'nothing is skipped');
}

eachTransport(
  'a checkpoint of another coordinator, or of no position, starts afresh',
  async ({ join }) => {
    const a = new Device(1);
    const [anna, carla] = [await join(a), await join(new Device(3))];
    await fill(anna, a);
    const own = checkpointOf(await carla.snapshot(), ['main.a', 'main.b.c']);
    const foreign = new Device(50);
    await assertFresh(carla, { ...own, hlc: foreign.hlc(Date.now() - 1000) });
    await assertFresh(carla, { ...own, hlc: foreign.hlc(0) });
    const bytes = Buffer.from(own.hlc, 'base64');
    bytes.writeBigUInt64BE(BigInt(Date.now() + HOUR_MS), 0);
    await assertFresh(carla, { ...own, hlc: bytes.toString('base64') });
  },
);

async function expireDeletions({ t, server, databaseId }: Conversation): Promise<void> {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 2 * HOUR_MS });
  await server.maintain(databaseId);
}

eachTransport(
  'a checkpoint behind the horizon starts afresh',
  async (conversation) => {
    const { join } = conversation;
    const a = new Device(1);
    const [anna, carla] = [await join(a), await join(new Device(3))];
    await fill(anna, a);
    const checkpoint = checkpointOf(await carla.snapshot(), ['main.a']);
    await anna.apply(a.write({ table: 'a', pk: [1], delete: true }));
    await anna.apply(a.write({ table: 'a', pk: [5], set: { x: 5 } }));
    await expireDeletions(conversation);
    await assertFresh(carla, checkpoint);
    const { hlc } = headerOf(await carla.snapshot());
    const still = checkpointOf(await carla.snapshot(), ['main.a']);
    assert.equal(headerOf(await carla.snapshot(still)).snapshotId, still.snapshotId);
    assert.deepEqual(await carla.changesSince(hlc), []);
  },
  { config: { sync: { tombstoneTTL: HOUR_MS } }, movesClock: true },
);

eachTransport(
  'a checkpoint that names tables that are not there does no harm',
  async ({ join }) => {
    const a = new Device(1);
    const [anna, carla] = [await join(a), await join(new Device(3))];
    await fill(anna, a);
    const whole = await carla.snapshot();
    const odd = checkpointOf(whole, ['main.zzz', '', '.', 'main.b', '__proto__']);
    const chunks = await carla.snapshot({ ...odd, lastTableIndex: -1, lastEntryIndex: 1e300 });
    assert.deepEqual(contentsOf(chunks), contentsOf(whole));
  },
);

eachTransport('two tables that share a label are never taken for one', async ({ join }) => {
  const a = new Device(1);
  const [anna, carla] = [await join(a), await join(new Device(3))];
  await anna.apply(
    a.write(
      { schema: 'x.y', table: 'z', pk: [1], set: { v: 1 } },
      { schema: 'x', table: 'y.z', pk: [1], set: { v: 2 } },
    ),
  );
  const whole = await carla.snapshot();
  assert.equal(cellsIn(whole).length, 2);
  const rest = await carla.snapshot(checkpointOf(whole, ['x.y.z']));
  assert.equal(cellsIn(rest).length, 2, 'which of them was complete nobody can tell');
});
