/** What the DDL of indexes costs the drops of tables, and keeps of their DDL. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeMigration } from '../../../src/engine/merge/table-ddl.ts';
import { Catalog } from '../../../src/engine/tables/catalog.ts';
import { CatalogDraft } from '../../../src/engine/tables/catalog-draft.ts';
import type { WireChangeSet } from '../../../src/protocol/schemas.ts';
import { createMemoryStorage } from '../../../src/storage/memory.ts';
import { Device } from '../../../src/testing/device.ts';

/** @returns merges the migrations of sets; gives what was read for them */
async function openMerging() {
  const store = await createMemoryStorage().open('test');
  const draft = new CatalogDraft(await Catalog.load(store), 1);
  const merge = (...sets: WireChangeSet[]) => {
    const migrations = sets.flatMap(({ schemaMigrations }) => schemaMigrations);
    const merged = migrations.map((migration) => mergeMigration(draft, migration, migration.hlc));
    return merged.reduce((sum, { read }) => sum + read, 0);
  };
  const typesOf = (table: string) => [...draft.slotsOf('main', table)].map(({ type }) => type);
  return { device: new Device(1), merge, typesOf };
}

const INDEXES = 10_000;

function emptyIndexes(device: Device): WireChangeSet[] {
  return Array.from({ length: INDEXES }, (_, i) =>
    device.migrate('add_index', `i${i}`, { ddl: '' }),
  );
}

test('a drop reads no DDL of indexes from before its table was made', async () => {
  const { device, merge } = await openMerging();
  merge(...emptyIndexes(device), device.migrate('create_table', 't'));
  assert.ok(merge(device.migrate('drop_table', 't', { schemaVersion: 2 })) < 10);
});

test('a drop of a table that nothing has made reads no DDL of indexes, however often it is sent', async () => {
  const { device, merge } = await openMerging();
  merge(...emptyIndexes(device));
  const drops = Array.from({ length: 100 }, () => device.migrate('drop_table', 't'));
  assert.ok(merge(...drops) < 1000);
});

test('what a drop has to read of the DDL of indexes is counted, though its text is empty', async () => {
  const { device, merge, typesOf } = await openMerging();
  merge(device.migrate('create_table', 't'), ...emptyIndexes(device));
  const read = merge(device.migrate('drop_table', 't', { schemaVersion: 2 }));
  assert.ok(read >= INDEXES / 20, `${read}`);
  assert.deepEqual(typesOf('t'), ['drop_table']);
});

test('an index keeps what made its table, and nothing of a table that was made after it', async () => {
  for (const isIndexFirst of [false, true]) {
    const { device, merge, typesOf } = await openMerging();
    const create = () => device.migrate('create_table', 't');
    const index = () => device.migrate('add_index', 'i', { ddl: 'CREATE INDEX i ON t (a)' });
    merge(...(isIndexFirst ? [index(), create()] : [create(), index()]));
    merge(device.migrate('drop_table', 't', { schemaVersion: 2 }));
    const kept = isIndexFirst ? ['drop_table'] : ['create_table', 'drop_table'];
    assert.deepEqual(typesOf('t'), kept);
  }
});

test('an index that takes the place of another one keeps nothing for that any more', async () => {
  const { device, merge, typesOf } = await openMerging();
  merge(
    device.migrate('create_table', 't'),
    device.migrate('add_index', 'i', { ddl: 'CREATE INDEX i ON t (a)' }),
    device.migrate('add_index', 'i', { ddl: 'CREATE INDEX i ON other (a)' }),
    device.migrate('drop_table', 't', { schemaVersion: 2 }),
  );
  assert.deepEqual(typesOf('t'), ['drop_table']);
});
