/** What a rule refuses under one name of a table is refused under all of them, DDL and its text included. */

import assert from 'node:assert/strict';
import { siteIdToText } from '../../src/clock/site-id.ts';
import type { ClientIdentity, CoordinatorHooks } from '../../src/hooks/types.ts';
import { hideTables } from '../../src/hooks/verdicts/hide-tables.ts';
import { judgeChanges } from '../../src/hooks/verdicts/judge-changes.ts';
import { Device } from '../../src/testing/device.ts';
import { eachTransport } from './each-transport.ts';

const [staff, guest] = [new Device(1), new Device(2)];

const isGuest = ({ siteId }: ClientIdentity) => siteIdToText(siteId) !== staff.siteId;

function rename(device: Device, fromTable: string, table: string, schemaVersion: number) {
  const ddl = `ALTER TABLE ${fromTable} RENAME TO ${table}`;
  return device.migrate('rename_table', table, { fromTable, ddl, schemaVersion });
}

/** As people write it: by the name alone. Prices are read-only for guests, and texts are trimmed. */
const byNameOnly = (): CoordinatorHooks => ({
  onBeforeApplyChanges: (client, changeSets) =>
    judgeChanges(
      changeSets,
      (change) => {
        if (!isGuest(client) || change.table !== 'prices') return true;
        if (change.type === 'column' && change.value === ' trim ') {
          return { ...change, value: 'trim' };
        }
        return { reason: 'read-only', code: 'READ_ONLY' };
      },
      { migration: () => true },
    ),
});

eachTransport(
  'a write under a former name of a table is judged under its present one',
  async ({ join }) => {
    const author = await join(staff);
    await author.apply(
      staff.migrate('create_table', 'plist'),
      staff.write({ table: 'plist', pk: [1], set: { a: 'fine' } }),
      rename(staff, 'plist', 'prices', 2),
    );
    guest.wallTime = staff.wallTime;
    const client = await join(guest);
    const { rejected, applied } = await client.apply(
      guest.write({ table: 'plist', pk: [1], set: { a: 'BAD' } }),
      guest.write({ table: 'PRICES', pk: [1], set: { a: 'other' } }),
      guest.write({ table: 'plist', pk: [1], delete: true }),
      guest.write({ table: 'plist', pk: [2], set: { a: ' trim ' } }),
      guest.write({ table: 'todo', pk: [1], set: { a: 'mine' } }),
    );
    assert.deepEqual(
      rejected?.map(({ table, code }) => [table, code]),
      [
        ['plist', 'READ_ONLY'],
        ['plist', 'READ_ONLY'],
      ],
    );
    assert.equal(applied, 3);
    const sent = JSON.stringify(await author.snapshot());
    assert.doesNotMatch(sent, /BAD| trim/);
    assert.match(sent, /fine/);
    assert.match(sent, /"trim"/);
  },
  { hooks: byNameOnly },
);

eachTransport(
  'a hidden table that was renamed is guarded against DDL under its new name',
  async ({ join }) => {
    const author = await join(staff);
    await author.apply(
      staff.migrate('create_table', 'notes'),
      rename(staff, 'notes', 'archive', 2),
    );
    guest.wallTime = staff.wallTime;
    const client = await join(guest);
    const attempts = [
      rename(guest, 'archive', 'pub', 3),
      guest.migrate('drop_table', 'archive', { schemaVersion: 4 }),
      ...[
        'CREATE TABLE c AS SELECT * FROM archive',
        'CREATE TABLE c AS SELECT * FROM "ARCHIVE" /*',
        'ALTER TABLE Archive RENAME TO pub',
      ].map((ddl, i) => guest.migrate('create_table', 'c', { ddl, schemaVersion: 5 + i })),
      guest.migrate('add_index', 'i', { ddl: 'CREATE INDEX i ON archive (a)' }),
    ];
    const fine = guest.migrate('create_table', 'mine', { ddl: 'CREATE TABLE mine (archive)' });
    const { rejected, applied } = await client.apply(...attempts, fine);
    assert.deepEqual(
      rejected?.map(({ code }) => code),
      attempts.map(() => 'HIDDEN_TABLE'),
    );
    assert.equal(applied, 1);
  },
  { hooks: () => hideTables(['notes'], isGuest) },
);
