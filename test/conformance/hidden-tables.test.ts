/** What is hidden by a table's name stays so, whatever DDL does to the name. */

import assert from 'node:assert/strict';
import { siteIdToText } from '../../src/clock/site-id.ts';
import { defineHooks } from '../../src/hooks/define-hooks.ts';
import type { ClientIdentity, CoordinatorHooks } from '../../src/hooks/types.ts';
import { hideTables } from '../../src/hooks/verdicts/hide-tables.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { Replica } from '../support/replica.ts';
import { eachTransport } from './each-transport.ts';

const [staff, guest, other] = [new Device(1), new Device(2), new Device(3)];

const isGuest = ({ siteId }: ClientIdentity) => siteIdToText(siteId) !== staff.siteId;

/** As people write it: by the name alone, with no thought of DDL. */
const byNameOnly = (): CoordinatorHooks => ({
  onBeforeSendChanges: (client, changeSets) =>
    changeSets.map((set) => ({
      ...set,
      changes: set.changes
        .filter(({ table }) => !isGuest(client) || table !== 'secrets')
        .map((change) =>
          change.type === 'column' && change.table === 'pay' ? { ...change, value: 0 } : change,
        ),
    })),
});

const helper = () => hideTables(['Secrets'], isGuest);

function rename(device: Device, from: string, to: string, schemaVersion: number) {
  return device.migrate('rename_table', to, { fromTable: from, schemaVersion });
}

const write = (table: string, pk: number, value: string) =>
  staff.write({ table, pk: [pk], set: { a: value } });

for (const [name, hooks] of Object.entries({ byNameOnly, helper })) {
  eachTransport(
    `rows of a hidden table are not sent under the name that it is given (${name})`,
    async ({ t, join, server, databaseId }) => {
      const author = await join(staff);
      await author.apply(
        staff.migrate('create_table', 'secrets'),
        write('secrets', 1, 'HIDDEN 1'),
        staff.migrate('create_table', 'shown'),
        write('shown', 1, 'shown'),
      );
      const site = { siteId: guest.siteId, databaseId };
      const listening = await TestClient.join(server.wsUrl, site, t);
      guest.wallTime = staff.wallTime;
      await (await join(guest)).apply(rename(guest, 'secrets', 'pub', 2));
      staff.wallTime = guest.wallTime;
      await author.apply(rename(staff, 'secrets', 'pub', 3));
      await author.apply(write('pub', 2, 'HIDDEN 2'), rename(staff, 'pub', 'last', 4));
      await author.apply(staff.write({ table: 'last', pk: [3], delete: true }));
      await author.apply(staff.migrate('create_table', 'secrets', { schemaVersion: 5 }));
      await author.apply(write('last', 4, 'HIDDEN 4'), write('secrets', 5, 'HIDDEN 5'));
      await author.apply(write('shown', 2, 'end'));
      const heard: unknown[] = [];
      while (!JSON.stringify(heard).includes('"end"')) heard.push(...(await listening.nextPush()));

      const reader = await join(other);
      const delta = await reader.changesSince();
      const snapshot = await reader.snapshot();
      for (const sent of [heard, delta, snapshot]) {
        assert.doesNotMatch(JSON.stringify(sent), /HIDDEN|"pk":\[3\]/);
      }
      const [fromDelta, fromSnapshot] = [new Replica(), new Replica()];
      fromDelta.apply(delta);
      fromSnapshot.load(snapshot);
      const shown = {
        '["main","shown","1"]': { a: 'shown' },
        '["main","shown","2"]': { a: 'end' },
      };
      assert.deepEqual(fromDelta.contents(), shown);
      assert.deepEqual(fromSnapshot.contents(), shown);
      if (name === 'helper') {
        assert.doesNotMatch(JSON.stringify([heard, delta, snapshot]), /secrets|pub|last/);
      }
      const all = await (await join(staff)).snapshot();
      assert.match(JSON.stringify(all), /HIDDEN 1.*HIDDEN 2|HIDDEN 2.*HIDDEN 1/);
    },
    { hooks },
  );
}

eachTransport(
  'what is masked stays so under another name',
  async ({ join }) => {
    const author = await join(staff);
    const paid = [1, 2].map((pk) => staff.write({ table: 'pay', pk: [pk], set: { a: 1000 } }));
    await author.apply(staff.migrate('create_table', 'pay'), ...paid);
    await author.apply(rename(staff, 'pay', 'wages', 2));
    const reader = await join(other);
    const sent = [await reader.changesSince(), await reader.snapshot()];
    assert.doesNotMatch(JSON.stringify(sent), /:1000[,}]/);
    assert.match(JSON.stringify(sent), /"table":"wages".*"value":0/);
  },
  { hooks: byNameOnly },
);

eachTransport(
  'a row that is looked up is found under every name of its table',
  async ({ join }) => {
    const author = await join(staff);
    await author.apply(
      staff.migrate('create_table', 'notes'),
      staff.write({ table: 'notes', pk: [1], set: { owner: 'all' } }),
      staff.write({ table: 'notes', pk: [2], set: { owner: 'staff' } }),
      rename(staff, 'notes', 'memos', 2),
    );
    const replica = new Replica();
    replica.apply(await (await join(other)).changesSince());
    assert.deepEqual(replica.contents(), { '["main","memos","1"]': { owner: 'all' } });
  },
  {
    hooks: () =>
      defineHooks({
        name: 'by-row',
        setup: (_options, { read }) => ({
          onBeforeSendChanges: ({ databaseId = '' }, changeSets) =>
            Promise.all(
              changeSets.map(async (set) => {
                const rows = await Promise.all(
                  set.changes.map(({ table, pk }) => read.row(databaseId, { table, pk })),
                );
                const changes = set.changes.filter((_, i) => rows[i]?.values.owner === 'all');
                return { ...set, changes };
              }),
            ),
        }),
      }),
  },
);

eachTransport(
  'who may not see a table may not change it by DDL, by none of its names and in no text',
  async ({ join }) => {
    const author = await join(staff);
    await author.apply(staff.migrate('create_table', 'secrets'), write('secrets', 1, 'HIDDEN'));
    guest.wallTime = staff.wallTime;
    const client = await join(guest);
    const texts = [
      'ALTER TABLE secrets RENAME TO pub',
      'alter table "Secrets" rename to pub',
      'CREATE TABLE pub AS SELECT * FROM main.[secrets]',
      'CREATE TABLE pub (a); /* ; */ INSERT INTO pub SELECT a FROM `SECRETS`',
    ];
    const attempts = [
      rename(guest, 'secrets', 'pub', 2),
      rename(guest, 'SECRETS', 'pub', 3),
      guest.migrate('drop_table', 'secrets', { schemaVersion: 4 }),
      ...texts.map((ddl, i) => guest.migrate('create_table', 'pub', { ddl, schemaVersion: 5 + i })),
    ];
    const fine = guest.migrate('create_table', 'mine', {
      ddl: 'CREATE TABLE mine (secrets TEXT REFERENCES secrets(a), "a""b" -- secrets\n)',
    });
    const result = await client.apply(...attempts, fine);
    assert.deepEqual(
      result.rejected?.map(({ code }) => code),
      attempts.map(() => 'HIDDEN_TABLE'),
    );
    assert.equal(result.applied, 1);
    assert.match(JSON.stringify(await author.snapshot()), /"table":"secrets".*HIDDEN/);
  },
  { hooks: helper },
);

eachTransport(
  'the answer to a write tells nothing of what its author may not see',
  async ({ join }) => {
    const author = await join(staff);
    const tables = ['secrets', 'shown'];
    await author.apply(...tables.map((table) => staff.migrate('create_table', table)));
    const old = new Device(9, staff.wallTime);
    staff.wallTime += 1000;
    await author.apply(
      ...tables.flatMap((table) => [
        write(table, 1, 'newer'),
        staff.write({ table, pk: [2], delete: true }),
      ]),
    );
    const client = await join(old);
    for (const table of tables) {
      // A newer value, a deletion, nothing at all, and what would be another's.
      const sets = [1, 2, 3].map((pk) => old.write({ table, pk: [pk], set: { a: 'older' } }));
      const forged = write(table, 4, 'forged');
      const { rejected, conflicting, overtaken, ...counts } = await client.apply(...sets, forged);
      assert.deepEqual(
        [counts, rejected?.length, conflicting?.map(({ value }) => value), overtaken?.length],
        table === 'secrets'
          ? [{ applied: 4, skipped: 0, conflicts: 0, transactions: 4 }, ...Array(3)]
          : [{ applied: 1, skipped: 1, conflicts: 1, transactions: 4 }, 1, ['newer'], 1],
        table,
      );
    }
    assert.doesNotMatch(JSON.stringify(await author.snapshot()), /forged/);
  },
  { hooks: helper },
);

eachTransport(
  'an estimate in a snapshot does not count what is left out',
  async ({ join }) => {
    await (await join(staff)).apply(
      ...[1, 2, 3, 4, 5].map((pk) => staff.write({ pk: [pk], set: { a: pk } })),
    );
    const starts = async (device: Device) => {
      const chunks = await (await join(device)).snapshot();
      return chunks.flatMap((chunk) =>
        chunk.type === 'table-start' ? chunk.estimatedEntries : [],
      );
    };
    assert.deepEqual([await starts(staff), await starts(other)], [[5], [2]]);
  },
  {
    hooks: () => ({
      onBeforeSendChanges: (client, changeSets) =>
        changeSets.map((set) => ({
          ...set,
          changes: set.changes.filter(({ pk }) => !isGuest(client) || Number(pk[0]) <= 2),
        })),
    }),
  },
);

for (const [name, hooks] of Object.entries({ byNameOnly, helper })) {
  eachTransport(
    `the counts of a snapshot do not tell of tables that are left out (${name})`,
    async ({ join }) => {
      const author = await join(staff);
      await author.apply(write('shown', 1, 'shown'));
      const reader = await join(other);
      const counts = async () => {
        const chunks = await reader.snapshot();
        return chunks.map(({ type: _, snapshotId: _id, hlc: _hlc, ...rest }) => rest);
      };
      const before = await counts();
      await author.apply(write('secrets', 1, 'HIDDEN'));
      assert.deepEqual(await counts(), before);
    },
    { hooks },
  );
}
