/**
 * What making, dropping or renaming a table does to the cells that are held for it.
 *
 * As a rule the DDL is newer than everything in its table, and one record of the
 * catalog changes hands. Only when a device used the name again before this older DDL
 * arrived, or when two tables have to become one, are rows taken apart, one by one.
 */

import { compareHlc, HLC_MAX, type HlcText, maxHlc } from '../clock/hlc.ts';
import type { KVTransaction } from '../storage/kv-store.ts';
import type { WireMigration } from '../wire/schemas.ts';
import { pkIdentity } from '../wire/values.ts';
import type { Catalog, TableRecord } from './catalog.ts';
import { type ChangeListJson, changedRowJson, columnMember } from './change-json.ts';
import { tableRange } from './keys.ts';
import { createRow, decodeRow, isExpired, mergeCell, mergeTombstone, type Row } from './row.ts';
import { type LoadedRow, type RowSet, rowAddress } from './row-set.ts';
import type { Boundary } from './table-timeline.ts';

/** The boundaries that a migration sets, in the order in which they are to be applied. */
export function toBoundaries(migration: WireMigration): Boundary[] {
  const { type, schema, table, fromTable, hlc } = migration;
  if (type === 'create_table') return [{ schema, table, hlc, kind: 'made' }];
  if (type === 'drop_table') return [{ schema, table, hlc, kind: 'dropped' }];
  if (type !== 'rename_table' || fromTable === undefined || fromTable === table) return [];
  // In this order: a timeline that leads to a name before it knows that a table was made there
  // could lead in a circle.
  return [
    { schema, table, hlc, kind: 'made' },
    { schema, table: fromTable, hlc, kind: 'renamed', renamedTo: table },
  ];
}

/** A change as it is stored, to be logged. */
export interface HeldChange {
  hlc: HlcText;
  addTo(list: ChangeListJson): void;
}

export interface BoundaryContext {
  catalog: Catalog;
  rows: RowSet;
  transaction: KVTransaction;
}

/**
 * @returns the changes that were held for a dropped name and can be sent now, since the name
 *   has been used again
 */
export async function applyBoundary(
  boundary: Boundary,
  context: BoundaryContext,
): Promise<HeldChange[]> {
  const { catalog, transaction } = context;
  const { schema, table } = boundary;
  const wasHidden = catalog.timeline.isHidden(schema, table);
  catalog.saveBoundary(boundary, transaction);
  const known = catalog.liveTable(schema, table);
  if (known === undefined) return [];
  if (boundary.kind !== 'made') {
    const held = wasHidden ? await heldChanges(known, context, boundary.renamedTo) : [];
    await endTable(known, boundary, context);
    return held.filter(({ hlc }) => isShownAs(boundary, hlc, catalog));
  }
  const isShown = wasHidden && !catalog.timeline.isHidden(schema, table);
  return isShown ? heldChanges(known, context) : [];
}

/** Whether what was written to a name that ended at `boundary` is to be seen under the new name. */
function isShownAs(boundary: Boundary, hlc: HlcText, { timeline }: Catalog): boolean {
  const { schema, table, renamedTo } = boundary;
  const place = timeline.resolve(schema, table, hlc);
  return place !== undefined && !place.hidden && place.table === renamedTo;
}

async function endTable(
  ended: TableRecord,
  { schema, table, hlc, renamedTo }: Boundary,
  context: BoundaryContext,
): Promise<void> {
  const { catalog, transaction } = context;
  // The table came to this name later than it is said to have ended: it is another one.
  if (ended.enteredAt !== undefined && compareHlc(hlc, ended.enteredAt) < 0) return;
  if (renamedTo === undefined) {
    if (compareHlc(ended.newest, hlc) < 0) catalog.drop(ended, transaction);
    else await moveOlder(ended, undefined, hlc, context);
    return;
  }
  // Whoever wrote to the old name since, though no table was made there, meant this one.
  const before = catalog.timeline.isMadeAfter(schema, table, hlc) ? hlc : HLC_MAX;
  const target = catalog.liveTable(schema, renamedTo);
  if (target === undefined && compareHlc(ended.newest, before) < 0) {
    catalog.rename(ended, renamedTo, hlc, transaction);
    return;
  }
  const into = target ?? catalog.createTable(schema, renamedTo);
  await moveOlder(ended, into, before, context);
  catalog.saveTable({ ...into, newest: maxHlc(into.newest, ended.newest) }, transaction);
}

/** A table's content as the changes that made it, named `name`. */
async function heldChanges(
  record: TableRecord,
  { rows, transaction }: BoundaryContext,
  name = record.table,
): Promise<HeldChange[]> {
  await loadTable(record, rows, transaction);
  const schema = JSON.stringify(record.schema);
  const table = JSON.stringify(name);
  return rows.ofTable(record.id).flatMap(({ row: { tombstone, cells } }) => {
    const changes: HeldChange[] = [];
    if (tombstone !== undefined && !isExpired(tombstone)) {
      const { pk, hlc, priorRow } = tombstone;
      const row = changedRowJson(schema, table, pk);
      changes.push({ hlc, addTo: (list) => list.addDelete(row, hlc, priorRow) });
    }
    for (const [column, { pk, hlc, value }] of cells) {
      const row = changedRowJson(schema, table, pk);
      const member = columnMember(column);
      changes.push({ hlc, addTo: (list) => list.addColumn(row, { hlc }, member, value) });
    }
    return changes;
  });
}

async function loadTable(
  table: TableRecord,
  rows: RowSet,
  transaction: KVTransaction,
): Promise<void> {
  for await (const entries of transaction.iterate(tableRange('r', table.id))) {
    for (const [key, value] of entries) {
      const address = rowAddress(table.id, rowIdentity(decodeRow(value)));
      if (rows.get(address) === undefined) rows.add(address, Buffer.from(key), value);
    }
  }
}

/** Takes what is older than `before` out of a table, and merges it into another, if there is one. */
async function moveOlder(
  from: TableRecord,
  into: TableRecord | undefined,
  before: HlcText,
  { rows, transaction }: BoundaryContext,
): Promise<void> {
  await loadTable(from, rows, transaction);
  const leaving = rows.ofTable(from.id).filter((loaded) => splitsAt(loaded.row, before));
  if (into !== undefined) {
    await rows.load(leaving.map(({ address }) => rowAddress(into.id, address.identity)));
  }
  for (const loaded of leaving) {
    const older = takeOlder(loaded, before);
    if (into === undefined) continue;
    const target = rows.get(rowAddress(into.id, loaded.address.identity));
    if (target !== undefined) mergeRow(target, older);
  }
}

/** A key may hold a hash in place of the identity, so it is worked out from the row's own key. */
function rowIdentity(row: Row): string {
  const [cell] = row.cells.values();
  return pkIdentity(JSON.parse(cell?.pk ?? row.tombstone?.pk ?? '[]'));
}

function splitsAt(row: Row, before: HlcText): boolean {
  if (row.tombstone !== undefined && compareHlc(row.tombstone.hlc, before) < 0) return true;
  return [...row.cells.values()].some((cell) => compareHlc(cell.hlc, before) < 0);
}

function takeOlder(loaded: LoadedRow, before: HlcText): Row {
  const { row } = loaded;
  const older = createRow();
  for (const [column, cell] of row.cells) {
    if (compareHlc(cell.hlc, before) >= 0) continue;
    older.cells.set(column, cell);
    row.cells.delete(column);
  }
  if (row.tombstone !== undefined && compareHlc(row.tombstone.hlc, before) < 0) {
    older.tombstone = row.tombstone;
    row.tombstone = undefined;
  }
  loaded.changed = true;
  return older;
}

function mergeRow(target: LoadedRow, source: Row): void {
  if (source.tombstone !== undefined) mergeTombstone(target.row, source.tombstone, true);
  for (const [column, cell] of source.cells) mergeCell(target.row, column, cell, true);
  target.changed = true;
}
