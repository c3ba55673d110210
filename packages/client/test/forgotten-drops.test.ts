/** Rows of a table that was dropped or renamed, where nobody tells of it any more, or it came late. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeHlc } from '../../../src/clock/hlc.ts';
import { siteIdToText } from '../../../src/clock/site-id.ts';
import { SiteClock } from '../src/clock.ts';
import { Inbox } from '../src/inbox.ts';
import type { Change, Migration } from '../src/protocol/messages.ts';
import { FORMAT, tableKeyOf } from '../src/replica/entries.ts';
import { Replica } from '../src/replica/replica.ts';

const site = (number: number) => new Uint8Array(16).fill(number);
const OWN = 1;
const at = (wallTime: number, number = OWN + 1) =>
  encodeHlc({ wallTime: BigInt(wallTime), counter: 0, siteId: site(number), opSeq: 0 });
const TASKS = { schema: 'main', table: 'tasks' };
const ddl = (type: Migration['type'], wallTime: number): Migration => ({
  ...{ type, ...TASKS, ddl: type, hlc: at(wallTime), schemaVersion: wallTime },
});
const cell = (pk: number, wallTime: number, number?: number): Change => ({
  ...{ type: 'column', ...TASKS, pk: [pk], column: 'a', value: wallTime },
  hlc: at(wallTime, number),
});

function start() {
  const siteId = siteIdToText(site(OWN));
  const replica = new Replica({ format: FORMAT, databaseId: 'default', siteId, generation: 0 });
  const clock = new SiteClock(siteId, () => 1);
  const commit = async (operations: Parameters<Replica['apply']>[0]) => {
    replica.apply(operations);
  };
  const inbox = new Inbox(replica, clock, { commit, now: () => 1 });
  const bootstrap = async (migrations: Migration[]) => {
    const snapshotId = `${migrations.length}`;
    const counts = { tableCount: 0, migrationCount: 0, snapshotFormat: 1 } as const;
    await inbox.startOver();
    await inbox.receiveChunk({ type: 'header', siteId, hlc: at(1), snapshotId, ...counts });
    for (const migration of migrations) {
      await inbox.receiveChunk({ type: 'schema-migration', migration });
    }
    const totals = { totalTables: 0, totalEntries: 0, totalMigrations: 0 };
    await inbox.receiveChunk({ type: 'footer', snapshotId, ...totals });
  };
  const receive = (changes: Change[], schemaMigrations: Migration[] = []) => {
    const set = { siteId: '', transactionId: '', hlc: at(100), changes, schemaMigrations };
    return inbox.receive([set], true);
  };
  const shown = (table = TASKS.table) => {
    const key = tableKeyOf(TASKS.schema, table);
    const rows = [...replica.keysOf(key)].map((row) => replica.current(key, row));
    return rows.flatMap((row) => (row && Object.keys(row.cells).length > 0 ? [row.pk[0]] : []));
  };
  return { replica, bootstrap, receive, shown };
}

test('of what is newer than a drop nothing stays: it is told when the table is made again, the site’s own by a snapshot', async () => {
  const { replica, bootstrap, receive, shown } = start();
  await bootstrap([ddl('create_table', 1)]);
  await receive([cell(1, 2), cell(2, 7), cell(3, 7, OWN)]);
  assert.deepEqual(shown(), [1, 2, 3]);
  await receive([], [ddl('drop_table', 5)]);
  assert.deepEqual(shown(), []);
  // It is remembered over a snapshot.
  await bootstrap([]);
  await receive([], [{ ...ddl('create_table', 9), table: 'done' }]);
  assert.deepEqual(shown(), []);
  assert.equal(replica.meta.position, undefined, 'a snapshot is asked for');
});

test('what is newer than a drop stays in a table that was made again after it', async () => {
  const { replica, bootstrap, receive, shown } = start();
  await bootstrap([ddl('create_table', 1), ddl('create_table', 6)]);
  await receive([cell(1, 2), cell(2, 7), cell(3, 7, OWN)]);
  await receive([], [ddl('drop_table', 5)]);
  assert.deepEqual(shown(), [2, 3]);
  assert.equal(replica.meta.isHeld, undefined);
});

test('a late drop of a name that a table came to later may be no drop of that: only a snapshot tells', async () => {
  const { replica, bootstrap, receive } = start();
  const rename = (to: string, fromTable: string, wallTime: number) => ({
    ...{ ...ddl('rename_table', wallTime), table: to, fromTable },
  });
  await bootstrap([ddl('create_table', 6)]);
  await receive([cell(1, 2)]);
  await receive([], [rename('done', TASKS.table, 7), rename(TASKS.table, 'done', 8)]);
  assert.notEqual(replica.meta.position, undefined);
  await receive([], [ddl('drop_table', 5)]);
  assert.equal(replica.meta.position, undefined);
});

test('what this site has written since a name was used again, and before it heard of it, only a snapshot has', async () => {
  const { replica, bootstrap, receive } = start();
  await bootstrap([ddl('create_table', 1)]);
  await receive([cell(1, 2), cell(3, 7, OWN)]);
  await receive([], [{ ...ddl('rename_table', 3), table: 'done', fromTable: TASKS.table }]);
  assert.notEqual(replica.meta.position, undefined);
  await receive([], [ddl('create_table', 5)]);
  assert.equal(replica.meta.position, undefined);
});

test('what was sent under a name from before a rename that is known goes with its table', async () => {
  const { bootstrap, receive, shown } = start();
  await bootstrap([ddl('create_table', 1)]);
  await receive([], [{ ...ddl('rename_table', 3), table: 'done', fromTable: TASKS.table }]);
  await receive([cell(1, 2)]);
  assert.deepEqual(shown('done'), [1]);
});
