import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeChanges } from '../../../src/hooks/verdicts/judge-changes.ts';
import type { MigrationType } from '../../../src/protocol/constants.ts';
import { decodeChangeSet } from '../../../src/protocol/types.ts';
import { Device } from '../../../src/testing/device.ts';

const device = new Device(1);

function migrate(type: MigrationType, ddl: string) {
  return decodeChangeSet(device.migrate(type, 'notes', { ddl, fromTable: 'old' }));
}

test('DDL that nobody judges passes only if it adds, by its type and by its text', async () => {
  const fine = [
    migrate('create_table', 'CREATE TABLE notes (a TEXT DEFAULT \'drop\', "drop" INT) STRICT'),
    migrate('add_column', 'ALTER TABLE notes ADD COLUMN a INT DEFAULT 1'),
    migrate('add_index', 'BEGIN; CREATE INDEX i ON notes (a); COMMIT'),
    migrate('drop_index', 'DROP INDEX i'),
  ];
  const refused = [
    migrate('drop_table', 'DROP TABLE notes'),
    migrate('rename_table', 'ALTER TABLE old RENAME TO notes'),
    migrate('drop_column', 'ALTER TABLE notes DROP COLUMN a'),
    migrate('alter_column', 'ALTER TABLE notes ALTER COLUMN a TYPE INT'),
    migrate('drop_table', 'CREATE TABLE notes (a)'),
    migrate('create_table', 'DROP TABLE notes'),
    migrate('add_column', 'ALTER TABLE notes ADD a INT, DROP COLUMN b'),
    migrate('add_index', 'DELETE FROM notes'),
    migrate('add_column', 'ALTER TABLE notes ADD CHECK (false)'),
    migrate('add_column', 'ALTER TABLE notes ADD a INT REFERENCES x ON DELETE CASCADE'),
    migrate('create_table', 'CREATE TABLE notes PARTITION OF old DEFAULT'),
    migrate('add_index', 'CREATE UNIQUE INDEX i ON notes (a)'),
    migrate('create_table', 'DO $$ BEGIN DROP TABLE notes; END $$'),
  ];
  const verdict = await judgeChanges([...fine, ...refused], () => true);
  assert.deepEqual(verdict.approved, fine);
  assert.deepEqual(
    verdict.rejected.map(({ table, code }) => [table, code]),
    refused.map(() => ['notes', 'DDL_NOT_JUDGED']),
  );
});

test('a judge of migrations decides, and its reasons come after those for changes', async () => {
  const set = decodeChangeSet(device.write({ table: 'notes', pk: [1], set: { a: 1 } }));
  set.schemaMigrations = [
    ...migrate('drop_table', 'DROP TABLE notes').schemaMigrations,
    ...migrate('create_table', 'CREATE TABLE notes (a)').schemaMigrations,
  ];
  const verdict = await judgeChanges([set], () => ({ reason: 'row' }), {
    migration: async ({ type }, of) => {
      assert.equal(of, set);
      return type === 'drop_table' ? true : { reason: 'ddl', code: 'DDL' };
    },
  });
  assert.deepEqual(
    verdict.approved.map(({ changes, schemaMigrations }) => [
      changes.length,
      schemaMigrations.map(({ type }) => type),
    ]),
    [[0, ['drop_table']]],
  );
  assert.deepEqual(verdict.rejected, [
    { table: 'notes', column: 'a', pk: [1], reason: 'row' },
    { table: 'notes', reason: 'ddl', code: 'DDL' },
  ]);
});
