/** A snapshot that breaks off between two chunks, and goes on when a table is another one by then. */

import assert from 'node:assert/strict';
import type { WireChangeSet, WireCheckpoint } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { eachTransport } from './each-transport.ts';
import { cellsIn, contentsOf } from './look.ts';
import type { Chunk } from './transport.ts';

const ROWS = 1500;

const [anna, carla] = [new Device(1), new Device(3)];
let versions = 1;

const make = (table: string, key: string) =>
  anna.migrate('create_table', table, {
    ddl: `create table ${table} (id, code, x, primary key (${key}))`,
    schemaVersion: ++versions,
  });
const drop = (table: string) =>
  anna.migrate('drop_table', table, { ddl: `drop table ${table}`, schemaVersion: ++versions });
const rename = (fromTable: string, table: string) =>
  anna.migrate('rename_table', table, { fromTable, schemaVersion: ++versions });
/** Under the new key, which is a text. */
const fill = (table: string) =>
  anna.write({ table, pk: ['one'], set: { x: 'new' } }, { table, pk: ['two'], set: { x: 'new' } });

/** Ways in which a table comes to have another key, each after what it says was done before the snapshot. */
const WAYS: Record<string, { before?: () => WireChangeSet[]; meanwhile(): WireChangeSet[] }> = {
  'dropped and made again': {
    meanwhile: () => [drop('tasks'), make('tasks', 'code'), fill('tasks')],
  },
  'dropped late, as it had been made again': {
    meanwhile() {
      const late = drop('tasks');
      return [make('tasks', 'code'), fill('tasks'), late];
    },
  },
  'replaced by one that was filled beside it': {
    meanwhile: () => [
      make('tasks_new', 'code'),
      fill('tasks_new'),
      drop('tasks'),
      rename('tasks_new', 'tasks'),
    ],
  },
  'moved aside, and made again': {
    meanwhile: () => [rename('tasks', 'tasks_old'), make('tasks', 'code'), fill('tasks')],
  },
  'made again, having been dropped before': {
    before: () => [drop('tasks')],
    meanwhile: () => [make('tasks', 'code'), fill('tasks')],
  },
};

/** What a receiver writes down where a snapshot breaks off. */
function checkpointOf(came: readonly Chunk[]): WireCheckpoint {
  const [header] = came;
  const completed = came.filter(({ type }) => type === 'table-end');
  return {
    snapshotId: String(header?.snapshotId),
    siteId: carla.siteId,
    hlc: String(header?.hlc),
    lastTableIndex: completed.length,
    lastEntryIndex: 0,
    completedTables: completed.map(({ schema, table }) => `${schema}.${table}`),
    entriesProcessed: came.length,
    createdAt: Date.now(),
  };
}

/** What it has in the end: where another snapshot began, nothing of the first. */
function joined(came: readonly Chunk[], rest: readonly Chunk[]): Chunk[] {
  if (rest[0]?.snapshotId !== came[0]?.snapshotId) return [...rest];
  const { completedTables } = checkpointOf(came);
  const isComplete = ({ schema, table }: Chunk) => completedTables.includes(`${schema}.${table}`);
  return [...came.filter(isComplete), ...rest];
}

for (const [way, { before, meanwhile }] of Object.entries(WAYS)) {
  eachTransport(
    `a snapshot goes on right, or begins anew, when a table with another key was ${way}`,
    async ({ join }) => {
      const [author, reader] = [await join(anna), await join(carla)];
      const rows = Array.from({ length: ROWS }, (_, i) => ({
        table: 'tasks',
        pk: [i],
        set: { x: i },
      }));
      const [other] = [{ table: 'alpha', pk: [1], set: { x: 'kept' } }];
      await author.apply(
        anna.migrate('create_table', 'alpha'),
        make('tasks', 'id'),
        anna.write(...rows, other),
      );
      if (before !== undefined) await author.apply(...before());
      const whole = await reader.snapshot();
      // It breaks off after each chunk; the last one is where everything has come.
      const cuts = [...new Set([1, 4, 5, whole.length - 2, whole.length - 1])];
      await author.apply(...meanwhile());
      const expected = contentsOf(await reader.snapshot());
      assert.deepEqual(
        Object.keys(expected).filter((key) => key.startsWith('tasks ')),
        ['tasks ["one"] x', 'tasks ["two"] x'],
      );
      for (const cut of cuts.filter((at) => at > 0)) {
        const came = whole.slice(0, cut);
        const rest = await reader.snapshot(checkpointOf(came));
        const chunks = joined(came, rest);
        assert.deepEqual(contentsOf(chunks), expected, `cut after ${cut} chunks`);
        const keys = cellsIn(chunks).filter(({ table }) => table === 'tasks');
        assert.ok(
          keys.every(({ pk }) => typeof pk[0] === 'string'),
          'of one kind of key',
        );
        const since = String(rest[0]?.hlc);
        const told = await reader.changesSince(since);
        const isResumed = rest[0]?.snapshotId === came[0]?.snapshotId;
        assert.ok(isResumed || told.length === 0, 'it covers all that it says');
      }
    },
  );
}
