/** Checks the records of tables, names and DDL, and whether they agree with each other. */

import { compareHlc, HLC_MIN } from '../clock/hlc.ts';
import { countKeyToId } from '../engine/records/cell-counts.ts';
import { kindRange, migrationKey, nameKey, tableKey } from '../engine/records/keys.ts';
import { NameSchema, SlotSchema, TableSchema } from '../engine/records/record-schemas.ts';
import { bytesToText } from '../engine/records/row.ts';
import { isLive, isOfIndex, slotKeyOf, type TableRecord } from '../engine/records/table-record.ts';
import { Catalog, liveTable, namesOfSlot } from '../engine/tables/catalog.ts';
import { replay } from '../engine/tables/ddl-replay.ts';
import type { KVReader } from '../storage/kv-store.ts';
import { type Finding, finding, showKey } from './findings.ts';
import { entriesOf, parseAs } from './records.ts';

/**
 * @param nextTable the number of the next table, if that is known
 * @returns the catalog; `undefined` if part of it is unreadable, or a table's successor is missing
 */
export async function* verifyCatalog(
  reader: KVReader,
  nextTable: number | undefined,
): AsyncGenerator<Finding, Catalog | undefined> {
  const isWhole = yield* verifyRecords(reader);
  if (!isWhole) return undefined;
  const catalog = await Catalog.load(reader);
  const leadsSomewhere = yield* verifyTables(catalog, nextTable);
  yield* verifyNames(catalog);
  yield* verifyDdl(catalog);
  yield* verifyCounts(reader, catalog);
  return leadsSomewhere ? catalog : undefined;
}

/** @returns whether all records can be read */
async function* verifyRecords(reader: KVReader): AsyncGenerator<Finding, boolean> {
  let isWhole = true;
  function* check(isRight: boolean, key: Uint8Array, what: string): Generator<Finding> {
    if (isRight) return;
    isWhole = false;
    yield finding('CATALOG', showKey(key), `${what} that cannot be read, or not of this key`);
  }
  for await (const [key, value] of entriesOf(reader, kindRange('t'))) {
    const table = parseAs(TableSchema, value);
    yield* check(table !== undefined && tableKey(table.id).equals(key), key, 'a table');
  }
  for await (const [key, value] of entriesOf(reader, kindRange('n'))) {
    const name = parseAs(NameSchema, value);
    const isRight = name !== undefined && nameKey(name.schema, name.table).equals(key);
    yield* check(isRight, key, 'a name');
  }
  for await (const [key, value] of entriesOf(reader, kindRange('g'))) {
    const slot = parseAs(SlotSchema, value);
    const isRight = slot !== undefined && migrationKey(slotKeyOf(slot)).equals(key);
    yield* check(isRight, key, 'a migration');
  }
  return isWhole;
}

function show({ id, schema, table }: TableRecord): string {
  return table === undefined ? `table ${id}` : `table ${JSON.stringify([schema, table])}`;
}

/** @returns whether all successors of tables exist */
function* verifyTables(
  catalog: Catalog,
  nextTable: number | undefined,
): Generator<Finding, boolean> {
  let leadsSomewhere = true;
  for (const table of catalog.tables) {
    if (nextTable !== undefined && table.id >= nextTable) {
      yield finding('CATALOG', show(table), `has number ${table.id}, which was not given yet`);
    }
    if ((table.into === undefined) !== (table.table !== undefined)) {
      yield finding('CATALOG', show(table), 'has a name and a successor, or neither');
    }
    if (table.into !== undefined && !endsSomewhere(catalog, table)) {
      leadsSomewhere = false;
      yield finding('CATALOG', show(table), `has successor ${table.into}, which leads nowhere`);
    }
    if (!isLive(table)) continue;
    const led = catalog.name(table.schema, table.table)?.id;
    if (led === table.id) continue;
    yield finding('CATALOG', show(table), `is table ${table.id}, and its name leads to ${led}`);
  }
  return leadsSomewhere;
}

/** Whether the successors of a table end at an existing table. */
function endsSomewhere(catalog: Catalog, from: TableRecord): boolean {
  const seen = new Set<number>();
  let table: TableRecord | undefined = from;
  while (table?.into !== undefined && !seen.has(table.id)) {
    seen.add(table.id);
    table = catalog.table(table.into);
  }
  return table !== undefined && table.into === undefined;
}

function* verifyNames(catalog: Catalog): Generator<Finding> {
  for (const { schema, table, id, past = [] } of catalog.names) {
    const where = `name ${JSON.stringify([schema, table])}`;
    if (id !== 0 && catalog.table(id) === undefined) {
      yield finding('CATALOG', where, `leads to table ${id}, which does not exist`);
    }
    if (past.some(([until], i) => i > 0 && compareHlc(past[i - 1]?.[0] ?? until, until) > 0)) {
      yield finding('CATALOG', where, 'led to tables that are not in order');
    }
  }
}

/**
 * Checks that a device that begins from nothing has exactly the live tables after all DDL, among
 * the names of renames.
 */
function* verifyDdl(catalog: Catalog): Generator<Finding> {
  const sent = catalog.migrationsByHlc().filter((slot) => !isOfIndex(slot));
  for (const schema of new Set(sent.map((slot) => slot.schema))) {
    const ofSchema = sent.filter((slot) => slot.schema === schema);
    const present = replay(ofSchema);
    if (present === undefined) {
      yield finding('MIGRATION', JSON.stringify(schema), 'renames a table onto another one');
      continue;
    }
    const renames = [...catalog.slots.values()].filter(
      (slot) => slot.type === 'rename_table' && slot.schema === schema,
    );
    for (const name of new Set(renames.flatMap(namesOfSlot))) {
      const isPresent = present.get(name);
      // No DDL that is sent has this name.
      if (isPresent === undefined) continue;
      if (isPresent === (liveTable(catalog, schema, name) !== undefined)) continue;
      const where = `table ${JSON.stringify([schema, name])}`;
      const what = isPresent ? 'is made by the DDL, and is not there' : 'is there against the DDL';
      yield finding('MIGRATION', where, what);
    }
  }
  for (const table of catalog.liveTables()) {
    const isDeclared = table.made !== HLC_MIN || table.since !== HLC_MIN;
    const [slot] = catalog.slotsOf(table.schema, table.table);
    if (isDeclared && slot === undefined) {
      yield finding('MIGRATION', show(table), 'was made by DDL that is not stored');
    }
  }
}

async function* verifyCounts(reader: KVReader, catalog: Catalog): AsyncGenerator<Finding> {
  for await (const [key, value] of entriesOf(reader, kindRange('c'))) {
    const isNumber = /^\d+$/.test(bytesToText(value));
    if (key.length !== 5 || !isNumber) {
      yield finding('STATISTICS', showKey(key), 'is no count of cells');
    } else if (catalog.table(countKeyToId(key)) === undefined) {
      yield finding('STATISTICS', showKey(key), 'counts cells of a table that does not exist');
    }
  }
}
