/** A rule about rows is not led around by DDL, and who may change tables can be said. */

import assert from 'node:assert/strict';
import { siteIdToText } from '../../src/clock/site-id.ts';
import type { ClientIdentity, CoordinatorHooks, SyncOperation } from '../../src/hooks/types.ts';
import { judgeChanges } from '../../src/hooks/verdicts/judge-changes.ts';
import { Device } from '../../src/testing/device.ts';
import { eachTransport } from './each-transport.ts';

const [staff, guest] = [new Device(1), new Device(2)];

const isGuest = ({ siteId }: ClientIdentity) => siteIdToText(siteId) === guest.siteId;

/** Guests may not write notes; nobody has thought of DDL. */
const rowRule: CoordinatorHooks = {
  onBeforeApplyChanges: (client, changeSets) =>
    isGuest(client)
      ? judgeChanges(changeSets, ({ table }) => (table === 'notes' ? { reason: 'no' } : true))
      : { approved: changeSets, rejected: [] },
};

eachTransport(
  'a rule about rows lets no table be dropped or renamed by those that it is about',
  async ({ join }) => {
    const author = await join(staff);
    await author.apply(
      staff.migrate('create_table', 'notes', { ddl: 'CREATE TABLE notes (id PRIMARY KEY, a)' }),
      staff.write({ table: 'notes', pk: [1], set: { a: 'kept' } }),
    );
    guest.wallTime = staff.wallTime;
    const client = await join(guest);
    const rename = { fromTable: 'notes', ddl: 'ALTER TABLE notes RENAME TO mine' };
    const { rejected, applied } = await client.apply(
      guest.migrate('drop_table', 'notes', { ddl: 'DROP TABLE notes', schemaVersion: 2 }),
      guest.migrate('rename_table', 'mine', { ...rename, schemaVersion: 2 }),
      guest.migrate('add_column', 'notes', { ddl: 'DROP TABLE notes', schemaVersion: 3 }),
      guest.migrate('create_table', 'mine', { ddl: 'CREATE TABLE mine (a)', schemaVersion: 4 }),
    );
    assert.deepEqual(
      rejected?.map(({ table, code }) => [table, code]),
      [
        ['notes', 'DDL_NOT_JUDGED'],
        ['mine', 'DDL_NOT_JUDGED'],
        ['notes', 'DDL_NOT_JUDGED'],
      ],
    );
    assert.equal(applied, 1);
    assert.match(JSON.stringify(await author.snapshot()), /kept/);
  },
  { hooks: () => rowRule },
);

const told: SyncOperation[] = [];

eachTransport(
  'onAuthorize is told what DDL a batch holds, and may refuse it',
  async ({ join }) => {
    told.length = 0;
    const author = await join(staff);
    await author.apply(staff.write({ table: 'notes', pk: [1], set: { a: 1 } }));
    const drop = staff.migrate('drop_table', 'notes', { ddl: 'DROP TABLE notes' });
    await assert.rejects(author.apply(drop), { code: 'NOT_AUTHORIZED' });
    const rename = staff.migrate('rename_table', 'x', { fromTable: 'notes', ddl: 'rename' });
    await author.apply(rename);
    const applies = told.filter(({ type }) => type === 'apply_changes');
    assert.deepEqual(
      applies.map((operation) => Reflect.get(operation, 'migrations')),
      [
        undefined,
        [{ type: 'drop_table', schema: 'main', table: 'notes' }],
        [{ type: 'rename_table', schema: 'main', table: 'x', fromTable: 'notes' }],
      ],
    );
    assert.ok(Object.isFrozen(Reflect.get(applies[2] ?? {}, 'migrations')));
  },
  {
    hooks: () => ({
      onAuthorize(_client, operation) {
        if (operation.type !== 'apply_changes' || operation.changeCount === 0) return true;
        told.push(operation);
        return !operation.migrations?.some(({ type }) => type === 'drop_table');
      },
    }),
  },
);
