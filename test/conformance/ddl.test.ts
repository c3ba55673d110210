import assert from 'node:assert/strict';
import { compareHlc } from '../../src/clock/hlc.ts';
import type { WireMigration } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { eachTransport, RELAYING } from './each-transport.ts';
import { cellsIn, changesIn, contentsOf, tablesIn } from './look.ts';
import type { Chunk } from './transport.ts';

function migrationsIn(chunks: readonly Chunk[]): WireMigration[] {
  return chunks
    .filter(({ type }) => type === 'schema-migration')
    .map(({ migration }) => migration as WireMigration);
}

eachTransport(
  'DDL arrives as it was written, and before the data of its transaction',
  async ({ join }) => {
    const a = new Device(1);
    const [anna, ben] = [await join(a), await join(new Device(2))];
    const both = a.migrate('create_table', 't', { ddl: 'CREATE  TABLE "t" -- ünïcode\n\t(x)' });
    both.changes = a.write({ pk: [1], set: { x: 1 } }).changes;
    await anna.apply(both);
    const [received] = await ben.changesSince();
    assert.deepEqual(received?.schemaMigrations, both.schemaMigrations);
    assert.deepEqual(received?.changes, both.changes);
    const chunks = await ben.snapshot();
    assert.deepEqual(migrationsIn(chunks), both.schemaMigrations);
  },
);

eachTransport(
  'every kind of migration is kept; in one slot the later HLC wins',
  async ({ join }) => {
    const a = new Device(1);
    const anna = await join(a);
    const sent = [
      a.migrate('create_table', 't'),
      a.migrate('add_column', 't', { schemaVersion: 2 }),
      a.migrate('alter_column', 't', { schemaVersion: 3 }),
      a.migrate('drop_column', 't', { schemaVersion: 4 }),
      a.migrate('add_index', 't'),
      a.migrate('drop_index', 't', { schemaVersion: 2 }),
      a.migrate('rename_table', 'u', { fromTable: 't', schemaVersion: 5 }),
      a.migrate('drop_table', 'v'),
    ];
    assert.equal((await anna.apply(...sent)).applied, sent.length);
    const kept = () => anna.snapshot().then(migrationsIn);
    const all = sent.flatMap(({ schemaMigrations }) => schemaMigrations);
    assert.deepEqual(await kept(), all, 'ascending by HLC');

    const rival = new Device(2, a.wallTime + 10);
    const later = rival.migrate('add_column', 't', { schemaVersion: 2, ddl: 'later' });
    const earlier = new Device(3, a.wallTime - 1000);
    const lost = earlier.migrate('add_column', 't', { schemaVersion: 2, ddl: 'earlier' });
    const result = { applied: 1, skipped: 1, conflicts: 0, transactions: 2 };
    assert.deepEqual(await anna.apply(later, lost), result);
    const hlcs = (await kept()).map(({ hlc }) => hlc);
    assert.deepEqual(hlcs, hlcs.toSorted(compareHlc));
    assert.deepEqual(
      (await kept()).filter(({ type }) => type === 'add_column').map(({ ddl }) => ddl),
      ['later'],
    );
  },
  RELAYING,
);

eachTransport('a dropped table leaves nothing, also of what arrives late', async ({ join }) => {
  const a = new Device(1);
  const [anna, ben] = [await join(a), await join(new Device(2))];
  const made = a.migrate('create_table', 'gone');
  const rows = a.write(
    { table: 'gone', pk: [1], set: { x: 1 } },
    { table: 'gone', pk: [2], delete: true },
  );
  const late = a.write(
    { table: 'gone', pk: [3], set: { x: 1 } },
    { table: 'kept', pk: [1], set: { x: 1 } },
    { table: 'gone', pk: [4], delete: true },
  );
  const dropped = a.migrate('drop_table', 'gone', { schemaVersion: 2 });
  await anna.apply(made, rows, dropped);
  const result = { applied: 1, skipped: 2, conflicts: 0, transactions: 1 };
  const { overtaken: _, ...counts } = await anna.apply(late);
  assert.deepEqual(counts, result);
  const chunks = await ben.snapshot();
  assert.deepEqual(tablesIn(chunks), ['kept']);
  assert.deepEqual(
    migrationsIn(chunks).map(({ type }) => type),
    ['drop_table'],
    'what made it is of no use to anybody',
  );
  const delta = changesIn(await ben.changesSince());
  assert.deepEqual([...new Set(delta.map(({ table }) => table))], ['kept'], 'nor by delta');
});

eachTransport(
  'a table that its DDL has dropped gets no cells from who has not heard',
  async ({ join }) => {
    const [a, b] = [new Device(1), new Device(2)];
    const [anna, ben, carla] = [await join(a), await join(b), await join(new Device(3))];
    await anna.apply(
      a.migrate('create_table', 'gone'),
      a.write({ table: 'gone', pk: [1], set: { x: 1 } }),
      a.migrate('drop_table', 'gone', { schemaVersion: 2 }),
    );
    // Ben was offline, and edits a row of the table after it was dropped.
    b.wallTime = a.wallTime + 60_000;
    await ben.apply(
      b.write({ table: 'gone', pk: [1], set: { x: 2 } }, { table: 'gone', pk: [2], delete: true }),
    );
    assert.deepEqual(tablesIn(await carla.snapshot()), [], 'a snapshot has none');
    assert.deepEqual(changesIn(await carla.changesSince()), [], 'a delta has none');
  },
);

eachTransport(
  'a table that was dropped and made again holds what was written since',
  async ({ join }) => {
    const a = new Device(1);
    const [anna, ben] = [await join(a), await join(new Device(2))];
    const late = a.write({ pk: [3], set: { x: 'late' } });
    await anna.apply(
      a.migrate('create_table', 't'),
      a.write({ pk: [1], set: { x: 1, y: 1 } }, { pk: [2], set: { x: 1 } }),
      a.migrate('drop_table', 't', { schemaVersion: 2 }),
      a.migrate('create_table', 't', { schemaVersion: 3 }),
      a.write({ pk: [1], set: { x: 2 } }),
    );
    await anna.apply(late);
    assert.deepEqual(contentsOf(await ben.snapshot()), { 't [1] x': 2 });
    const delta = changesIn(await ben.changesSince());
    assert.deepEqual(
      delta.map((change) => [change.pk, 'value' in change && change.value]),
      [[[1], 2]],
    );
  },
);

eachTransport(
  'a renamed table is held under its new name, late edits included',
  async ({ join }) => {
    const a = new Device(1);
    const [anna, ben] = [await join(a), await join(new Device(2))];
    const made = a.migrate('create_table', 'old');
    const first = a.write({ table: 'old', pk: [1], set: { x: 1 } });
    const late = a.write({ table: 'old', pk: [1], set: { y: 1 } });
    const gone = a.write({ table: 'old', pk: [2], delete: true });
    const renamed = a.migrate('rename_table', 'new', { fromTable: 'old', schemaVersion: 2 });
    const since = a.write({ table: 'new', pk: [3], set: { x: 3 } });
    await anna.apply(made, first, gone, renamed, since);
    await anna.apply(late);
    const chunks = await ben.snapshot();
    assert.deepEqual(tablesIn(chunks), ['new']);
    assert.deepEqual(contentsOf(chunks), { 'new [1] x': 1, 'new [1] y': 1, 'new [3] x': 3 });
    assert.deepEqual(
      cellsIn(chunks)
        .map(({ hlc }) => hlc)
        .sort(),
      [first, late, since].flatMap(({ changes }) => changes.map(({ hlc }) => hlc)).sort(),
      'with the HLCs that they had',
    );
  },
);

eachTransport('after a drop and a rename a name means its new table', async ({ join }) => {
  const a = new Device(1);
  const [anna, ben] = [await join(a), await join(new Device(2))];
  await anna.apply(
    a.migrate('create_table', 't'),
    a.write({ pk: [1], set: { x: 'of the old' } }),
    a.migrate('create_table', 't_new'),
    a.write({ table: 't_new', pk: [1], set: { x: 'of the new' } }),
    a.migrate('drop_table', 't', { schemaVersion: 2 }),
    a.migrate('rename_table', 't', { fromTable: 't_new', schemaVersion: 3 }),
  );
  assert.deepEqual(contentsOf(await ben.snapshot()), { 't [1] x': 'of the new' });
});

eachTransport(
  'cells of a dropped column do no harm, and DDL touches no other table',
  async ({ join }) => {
    const a = new Device(1);
    const [anna, ben] = [await join(a), await join(new Device(2))];
    await anna.apply(
      a.write({ pk: [1], set: { x: 1 } }, { table: 'tt', pk: [1], set: { x: 1 } }),
      a.migrate('drop_column', 't', { schemaVersion: 2 }),
      a.migrate('drop_table', 'tt', { schemaVersion: 2 }),
      a.migrate('drop_index', 't', { schemaVersion: 2 }),
    );
    assert.deepEqual(contentsOf(await ben.snapshot()), { 't [1] x': 1 });
  },
);
