/**
 * What dropping or renaming a table does to the cells that are held for it.
 *
 * As a rule the DDL is newer than everything in its table, and one record of the
 * catalog changes hands. Only when a device used the name again before this older DDL
 * arrived, or when two tables have to become one, are rows taken apart, one by one.
 */

import { compareHlc, type HlcText } from '../clock/hlc.ts';
import type { KVTransaction } from '../storage/kv-store.ts';
import { pkIdentity } from '../wire/values.ts';
import type { Catalog, TableRecord } from './catalog.ts';
import { tableRange } from './keys.ts';
import { createRow, decodeRow, mergeCell, mergeTombstone, type Row } from './row.ts';
import { addressText, type LoadedRow, type RowAddress, type RowSet } from './row-set.ts';
import type { Boundary } from './table-timeline.ts';

export async function applyBoundary(
  boundary: Boundary,
  catalog: Catalog,
  rows: RowSet,
  transaction: KVTransaction,
): Promise<void> {
  const { schema, table, hlc, renamedTo } = boundary;
  catalog.saveBoundary(boundary, transaction);
  const ended = catalog.liveTable(schema, table);
  if (ended === undefined) return;
  // The table came to this name later than it is said to have ended: it is another one.
  if (ended.enteredAt !== undefined && compareHlc(hlc, ended.enteredAt) < 0) return;
  const target = renamedTo === undefined ? undefined : catalog.liveTable(schema, renamedTo);
  const whole = compareHlc(ended.newest, hlc) < 0;
  if (whole && renamedTo === undefined) {
    catalog.drop(ended, transaction);
  } else if (whole && renamedTo !== undefined && target === undefined) {
    catalog.rename(ended, renamedTo, hlc, transaction);
  } else {
    const into =
      renamedTo === undefined ? undefined : (target ?? catalog.createTable(schema, renamedTo));
    await moveOlder(ended, into, hlc, rows, transaction);
    if (into !== undefined && compareHlc(hlc, into.newest) > 0) {
      catalog.saveTable({ ...into, newest: hlc }, transaction);
    }
  }
}

/** Takes what is older than `before` out of a table, and merges it into another, if there is one. */
async function moveOlder(
  from: TableRecord,
  into: TableRecord | undefined,
  before: HlcText,
  rows: RowSet,
  transaction: KVTransaction,
): Promise<void> {
  for await (const entries of transaction.iterate(tableRange('r', from.id))) {
    for (const [key, value] of entries) {
      const address = { tableId: from.id, identity: rowIdentity(decodeRow(value)) };
      if (rows.get(addressText(address)) === undefined) rows.add(address, Buffer.from(key), value);
    }
  }
  const leaving = rows.ofTable(from.id).filter((loaded) => splitsAt(loaded.row, before));
  const targets = new Map<string, RowAddress>();
  if (into !== undefined) {
    for (const { identity } of leaving) {
      const address = { tableId: into.id, identity };
      targets.set(addressText(address), address);
    }
  }
  await rows.load(targets);
  for (const loaded of leaving) {
    const older = takeOlder(loaded, before);
    if (into === undefined) continue;
    const target = rows.get(addressText({ tableId: into.id, identity: loaded.identity }));
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
