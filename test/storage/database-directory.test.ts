import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { databaseIdToDirectoryName } from '../../src/storage/database-directory.ts';
import { assertDatabaseId, isDatabaseId } from '../../src/storage/database-id.ts';

const CHARACTERS = [...'ABCXYZabcxyz0189_:.-'];
const databaseId = fc
  .array(fc.constantFrom(...CHARACTERS), { minLength: 1, maxLength: 128 })
  .map((characters) => characters.join(''));
/** Ids that differ little, which is where names could meet. */
const similarId = fc
  .array(fc.constantFrom(...'aA:._-'), { minLength: 1, maxLength: 4 })
  .map((characters) => characters.join(''));

describe('the directory of a database', () => {
  test('is readable for ordinary ids', () => {
    const names = ['default', 'team-42', 'app.v1', 'MyApp', 'acme:orders', 'v1.'].map(
      databaseIdToDirectoryName,
    );
    assert.deepEqual(names, [
      'db-default',
      'db-team-42',
      'db-app.v1',
      'db-=my=app',
      'db-acme=_orders',
      'db-v1=-',
    ]);
  });

  test('is another for another id, also where the disk ignores case', () => {
    const idByName = new Map<string, string>();
    const check = (id: string) => {
      const name = databaseIdToDirectoryName(id).toLowerCase();
      const other = idByName.get(name) ?? id;
      assert.equal(other, id, `${other} and ${id} would share ${name}`);
      idByName.set(name, id);
    };
    fc.assert(fc.property(similarId, check), { numRuns: 2000 });
    fc.assert(fc.property(databaseId, check), { numRuns: 500 });
    // Long, and different only at the end or in case.
    for (const id of [
      'X'.repeat(128),
      `${'X'.repeat(127)}x`,
      `${'X'.repeat(127)}Y`,
      'x'.repeat(128),
    ]) {
      check(id);
    }
  });

  test('is a valid name on every system, and stays in the data directory', () => {
    const check = (id: string) => {
      const name = databaseIdToDirectoryName(id);
      assert.match(name, /^db-[a-z0-9_.=-]*[a-z0-9_=-]$/);
      assert.ok(name.length <= 200, `${name.length} characters`);
      assert.equal(path.dirname(path.resolve('/data', name)), '/data');
      assert.equal(path.win32.dirname(path.win32.resolve('C:\\data', name)), 'C:\\data');
    };
    fc.assert(fc.property(databaseId, check), { numRuns: 500 });
    for (const id of [
      '.',
      '..',
      '...',
      ':',
      'con',
      'NUL',
      'aux.txt',
      'Z'.repeat(128),
      '.'.repeat(128),
    ]) {
      check(id);
    }
  });
});

describe('a database id', () => {
  test('is 1 to 128 characters of A-Z a-z 0-9 _ : . -', () => {
    for (const id of ['a', '.', '..', 'A:b.c_d-9', 'x'.repeat(128)])
      assert.ok(isDatabaseId(id), id);
    for (const id of ['', 'x'.repeat(129), 'a/b', 'a\\b', 'a b', 'a\n', 'é', '%', 7, null, ['a']]) {
      assert.ok(!isDatabaseId(id), String(id));
      assert.throws(() => assertDatabaseId(id), { code: 'INVALID_DATABASE_ID' });
    }
  });
});
