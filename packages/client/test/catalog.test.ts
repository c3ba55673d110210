/** What names mean by the DDL that is known. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeHlc } from '../../../src/clock/hlc.ts';
import type { Migration } from '../src/protocol/messages.ts';
import { Catalog } from '../src/replica/catalog.ts';
import { tableKeyOf } from '../src/replica/entries.ts';

const at = (wallTime: number) =>
  encodeHlc({ wallTime: BigInt(wallTime), counter: 0, siteId: new Uint8Array(16), opSeq: 0 });
const ddl = (
  type: Migration['type'],
  table: string,
  wallTime: number,
  fromTable?: string,
): Migration => ({
  ...{ type, schema: 'main', table, ddl: '', schemaVersion: wallTime, hlc: at(wallTime) },
  ...(fromTable !== undefined && { fromTable }),
});
const key = (table: string) => tableKeyOf('main', table);

test('a table that is renamed and renamed back is the same one, whenever it was written to', () => {
  const catalog = new Catalog([
    ddl('create_table', 'a', 1),
    ddl('rename_table', 'b', 10, 'a'),
    ddl('rename_table', 'a', 20, 'b'),
  ]);
  for (const wallTime of [5, 15, 25]) {
    assert.equal(catalog.resolve(key('a'), at(wallTime)), key('a'));
    assert.equal(catalog.resolve(key('b'), at(wallTime)), key('a'));
  }
});

test('a name that was used again means by the time of a write one table or the other', () => {
  const catalog = new Catalog([
    ddl('create_table', 'a', 1),
    ddl('rename_table', 'b', 10, 'a'),
    ddl('create_table', 'a', 20),
    ddl('drop_table', 'b', 30),
  ]);
  assert.equal(catalog.resolve(key('a'), at(15)), undefined, 'dropped with the table that went on');
  assert.equal(catalog.resolve(key('a'), at(25)), key('a'));
  assert.equal(catalog.resolve(key('b'), at(35)), key('b'));
  assert.ok(catalog.isHidden(key('b')));
});

test('a drop of a name is not one of the table that came to it later', () => {
  const catalog = new Catalog([
    ddl('create_table', 'a', 1),
    ddl('create_table', 'b', 2),
    ddl('rename_table', 'b', 20, 'a'),
    ddl('drop_table', 'b', 10),
  ]);
  assert.equal(catalog.resolve(key('a'), at(5)), key('b'));
  assert.equal(catalog.resolve(key('b'), at(5)), undefined);
  assert.ok(!catalog.isHidden(key('b')));
});

test('a name leads to the table that it meant when it was renamed, wherever that has gone since', () => {
  const catalog = new Catalog([
    ddl('rename_table', 'b', 10, 'a'),
    ddl('rename_table', 'c', 20, 'b'),
    ddl('create_table', 'b', 30),
  ]);
  for (const wallTime of [5, 15, 25, 35]) {
    assert.equal(catalog.resolve(key('a'), at(wallTime)), key('c'));
  }
  assert.equal(catalog.resolve(key('b'), at(35)), key('b'));
});

test('what is newer than a drop is of the table that has taken the place, also under a name of before', () => {
  const catalog = new Catalog([
    ddl('create_table', 'a', 1),
    ddl('rename_table', 'b', 10, 'a'),
    ddl('drop_table', 'b', 20),
    ddl('create_table', 'c', 30),
    ddl('rename_table', 'b', 40, 'c'),
  ]);
  assert.equal(catalog.resolve(key('a'), at(15)), undefined);
  for (const wallTime of [25, 45]) assert.equal(catalog.resolve(key('a'), at(wallTime)), key('b'));
});
