/** A snapshot of which a client may see less, or more, while it is being sent. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Snapshot } from '../../../src/engine/snapshot/snapshot.ts';
import type { WireChangeSet, WireMigration } from '../../../src/protocol/schemas.ts';
import type { Stamp } from '../../../src/service/access/rights.ts';
import { filterSnapshot } from '../../../src/service/delivery/filtered-snapshot.ts';
import type { ReadFilter } from '../../../src/service/delivery/read-filter.ts';
import { CLIENT } from '../../hooks/support.ts';

const HEADER = { type: 'header', siteId: 's', hlc: 'h', snapshotId: 'id', migrationCount: 2 };
const MIGRATIONS = ['a', 'b'].map((table) => ({
  type: 'schema-migration',
  migration: { table, ddl: '' },
}));
const entry = { pk: [1], column: 'c', hlc: 'h', value: 'secret' };
const TABLE = [
  { type: 'table-start', schema: 'main', table: 'a', estimatedEntries: 2 },
  { type: 'column-versions', schema: 'main', table: 'a', entries: [entry] },
  { type: 'column-versions', schema: 'main', table: 'a', entries: [entry] },
  { type: 'table-end', schema: 'main', table: 'a', entriesWritten: 2 },
  { type: 'footer', totalTables: 1, totalEntries: 2, totalMigrations: 0 },
];

/** Read by a client to which `state` is what it may see by now. */
function open(chunks: object[], hasFilter = true, ownFilter?: ReadFilter) {
  const state = { seesAll: true, generation: 0, isFiltered: hasFilter };
  const filter: ReadFilter = async (sets) => (state.seesAll ? sets : []) as WireChangeSet[];
  const now = (): Stamp => ({ identity: CLIENT, ...state });
  const raw = (async function* () {
    for (const chunk of chunks) yield Buffer.from(JSON.stringify(chunk));
  })();
  const migrations = async function* () {
    for (const chunk of chunks) {
      if ('migration' in chunk) yield chunk.migration as WireMigration;
    }
  };
  const snapshot = { chunks: raw, migrations } as unknown as Snapshot;
  const holds = async (stamp: Stamp) =>
    stamp.isFiltered ? stamp.generation === state.generation : !state.isFiltered;
  const narrowed = filterSnapshot(snapshot, hasFilter ? (ownFilter ?? filter) : undefined, {
    now,
    holds,
  });
  const reading = narrowed.chunks[Symbol.asyncIterator]();
  const next = async () => {
    const { value } = await reading.next();
    return JSON.parse(Buffer.from(value).toString()) as {
      type: string;
      entriesWritten?: number;
      migrationCount?: number;
    };
  };
  return { state, next };
}

test('DDL that was seen before a reload is not sent after it', async () => {
  const { state, next } = open([HEADER, ...MIGRATIONS, ...TABLE]);
  assert.equal((await next()).type, 'header');
  assert.equal((await next()).type, 'schema-migration');
  Object.assign(state, { seesAll: false, generation: 1 });
  await assert.rejects(next(), { code: 'SNAPSHOT_ERROR' });
});

test('a reload after which a client sees the same leaves its snapshot as it is', async () => {
  const { state, next } = open([HEADER, ...MIGRATIONS, ...TABLE]);
  const types: string[] = [];
  do {
    types.push((await next()).type);
    state.generation++;
  } while (types.at(-1) !== 'footer');
  const whole = [HEADER, ...MIGRATIONS, ...TABLE].map(({ type }) => type);
  assert.deepEqual(types, whole);
});

test('cells that were seen before a reload are not sent after it, and are not counted', async () => {
  const { state, next } = open([HEADER, ...TABLE]);
  assert.equal((await next()).type, 'header');
  assert.equal((await next()).type, 'table-start');
  Object.assign(state, { seesAll: false, generation: 1 });
  const end = await next();
  assert.deepEqual([end.type, end.entriesWritten], ['table-end', 0]);
});

test('a snapshot that is sent as it is stored ends when a hook has a say in it', async () => {
  const { state, next } = open([HEADER, ...TABLE], false);
  assert.equal((await next()).type, 'header');
  state.isFiltered = true;
  await assert.rejects(next(), { code: 'SNAPSHOT_ERROR' });
});

test('DDL is seen a part at a time, and counted before, whatever there is of it', async () => {
  const ddl = 'x'.repeat(100_000);
  const migrations = Array.from({ length: 30 }, (_, i) => ({ table: `t${i}`, ddl }));
  const parts: number[] = [];
  const filter: ReadFilter = async ([set]) => {
    const left = (set as WireChangeSet).schemaMigrations;
    parts.push(left.length);
    return [{ ...set, schemaMigrations: left.filter(({ table }) => table !== 't7') }] as never;
  };
  const chunks = migrations.map((migration) => ({ type: 'schema-migration', migration }));
  const { next } = open([HEADER, ...chunks, TABLE.at(-1) as object], true, filter);
  assert.equal((await next()).migrationCount, 29);
  const types = new Map<string, number>();
  for (let type = ''; type !== 'footer'; types.set(type, (types.get(type) ?? 0) + 1)) {
    ({ type } = await next());
  }
  assert.deepEqual(
    [...types],
    [
      ['schema-migration', 29],
      ['footer', 1],
    ],
  );
  assert.ok(Math.max(...parts) <= 3);
});
