/**
 * Empties a table that was dropped or replaced, in steps, between the groups of writers. Cells and
 * tombstones up to its floor are removed. Newer ones move to the table that has taken its place, by
 * the ordinary merge; what takes effect there is logged as new. So no transaction touches more rows
 * than those of its changes and one step, and no path loads a whole table.
 *
 * A step begins with the row after the last one that was read. After a restart it begins with the
 * first, since rows that are done have left the table.
 */

import { compareHlc, type HlcText } from '../../clock/hlc.ts';
import { JsonNames } from '../records/change-json.ts';
import { tableRange } from '../records/keys.ts';
import type { Pace } from '../records/pace.ts';
import {
  decodeRow,
  isExpired,
  mergeCell,
  mergeTombstone,
  type Row,
  rowIdentity,
  type Tombstone,
} from '../records/row.ts';
import type { LoadedRow, RowAddress } from '../records/row-set.ts';
import { isLive, type TableRecord } from '../records/table-record.ts';
import { canBeEmptied, destinationOf, finishEmptying, forget } from '../tables/ended-tables.ts';
import { boundHeld, type FullHolder, type HeldBoundContext } from './held-bound.ts';
import { beforeHeldOf, emptyHeld, isHeldKey } from './held-emptying.ts';
import { MovedChanges } from './moved-changes.ts';
import { Reverts } from './reverts.ts';
import { loadThere, STEP_BYTES_MAX, type StepBudget } from './step-budget.ts';
import type { WriteTransaction } from './write-transaction.ts';

export interface EmptyingContext extends HeldBoundContext {
  pace: Pace;
  allowResurrection: boolean;
  /** Rows that a step reads. */
  stepRows: number;
}

/** What a step has done. */
export interface EmptiedSome {
  /** The key after which the next step begins; `undefined` if the table is done, or has to wait. */
  next: Uint8Array | undefined;
  /** Sites that have to start over. */
  full: readonly FullHolder[];
}

/**
 * One step. Once the budget is spent, only a table is done of which no row is to be read: it is empty, or this
 * transaction has made it.
 * @param after the key of the last row of the step before
 */
export async function emptySome(
  transaction: WriteTransaction,
  id: number,
  after: Uint8Array | undefined,
  budget: StepBudget,
  context: EmptyingContext,
): Promise<EmptiedSome> {
  const { catalog } = transaction;
  const table = catalog.table(id);
  if (table === undefined) return NOTHING;
  const waits = !canBeEmptied(catalog, table);
  if (waits && table.into === undefined) return NOTHING;
  const isRead = !waits && (!budget.isSpent || id >= transaction.firstMade);
  if (!isRead && !(await holdsNothing(transaction, id))) return NOTHING;
  if (waits) {
    // Only its rows would have waited for its successor to be made again.
    forget(catalog, table);
    return NOTHING;
  }
  const reverts = new Reverts(transaction, new JsonNames(), context.identity, context.pace);
  const next = await emptyStep(transaction, { table, after }, { budget, reverts, context });
  const unsent = await reverts.send(budget.reverts);
  const full = await boundHeld(transaction, context, context.pace, unsent);
  return { next, full };
}

const NOTHING: EmptiedSome = { next: undefined, full: [] };

/** Whether there is nothing in a table: no cell, no deletion, and nothing that a site holds. */
async function holdsNothing(
  { store, rows, held, firstMade }: WriteTransaction,
  id: number,
): Promise<boolean> {
  if (held.hasOf(id)) return false;
  for (const [, { row }] of rows.ofTable(id)) {
    if (row.cells.size > 0 || row.tombstone !== undefined) return false;
  }
  // What this transaction has made has nothing in the store.
  if (id >= firstMade) return true;
  const kinds = held.isEmpty ? (['r'] as const) : (['r', 'h'] as const);
  for (const kind of kinds) {
    for await (const entries of store.iterate({ ...tableRange(kind, id), limit: 1 })) {
      if (entries.length > 0) return false;
    }
  }
  return true;
}

async function emptyStep(
  transaction: WriteTransaction,
  { table, after }: { table: TableRecord; after: Uint8Array | undefined },
  { budget, reverts, context }: { budget: StepBudget; reverts: Reverts; context: EmptyingContext },
): Promise<Uint8Array | undefined> {
  const { catalog } = transaction;
  const { id } = table;
  const { table: into, floor } = destinationOf(catalog, table);
  // It can't be hidden: `canBeEmptied` was true.
  const target = into !== undefined && isLive(into) ? into : undefined;
  if (after !== undefined && isHeldKey(after)) {
    const next = await emptyHeld(transaction, { id, floor, into: target }, after, budget, reverts);
    if (next === undefined) finishEmptying(catalog, table, target);
    return next;
  }
  let { rows, next } = await readSome(transaction, id, after, budget);
  if (target !== undefined) {
    const there = rows.map(({ identity }) => ({ tableId: target.id, identity }));
    const count = await loadThere(transaction, there, budget);
    if (count < rows.length) {
      // The rest is left to the next step.
      rows = rows.slice(0, count);
      const last = rows.at(-1)?.loaded.key;
      if (last !== undefined && (next === undefined || Buffer.compare(last, next) < 0)) next = last;
    }
    await transaction.held.load(there.slice(0, count));
    // What moves is newer than that.
    await transaction.floors.loadAbove(floor);
  }
  const leaving = rows.filter(
    ({ loaded }) => target !== undefined || isAnyBelow(loaded.row, floor),
  );
  const moved = new MovedChanges(transaction, target, context.identity.siteIdText, reverts);
  for (const { identity, loaded } of leaving) {
    const there = target && transaction.rows.get({ tableId: target.id, identity });
    takeOut(loaded, floor, there, moved, context.allowResurrection);
  }
  moved.append();
  if (next !== undefined) return next;
  // The held rows follow after the rows.
  if (!transaction.held.isEmpty) return beforeHeldOf(id);
  finishEmptying(catalog, table, target);
  return undefined;
}

interface FoundRow {
  identity: string;
  loaded: LoadedRow;
}

/**
 * Reads rows as this transaction sees them, in the order of their keys; the first step includes
 * those that it has made itself.
 */
async function readSome(
  { store, rows }: WriteTransaction,
  id: number,
  after: Uint8Array | undefined,
  budget: StepBudget,
): Promise<{ rows: FoundRow[]; next: Uint8Array | undefined }> {
  const found = new Map<string, LoadedRow>();
  if (after === undefined)
    for (const [identity, loaded] of rows.ofTable(id)) found.set(identity, loaded);
  const all = tableRange('r', id);
  const range = after === undefined ? all : { gt: after, lt: all.lt };
  let next: Uint8Array | undefined;
  const limit = Math.max(1, budget.rows);
  for await (const entries of store.iterate({ ...range, limit, bytes: STEP_BYTES_MAX })) {
    for (const [key, bytes] of entries) {
      const address: RowAddress = { tableId: id, identity: rowIdentity(decodeRow(bytes)) };
      found.set(address.identity, rows.get(address) ?? rows.add(address, Buffer.from(key), bytes));
      budget.rows--;
      budget.bytes -= key.length + bytes.length;
      next = Buffer.from(key);
      if (budget.isSpent) break;
    }
    if (budget.isSpent) break;
  }
  const list = [...found].map(([identity, loaded]) => ({ identity, loaded }));
  list.sort((a, b) => Buffer.compare(a.loaded.key, b.loaded.key));
  return { rows: list, next: budget.isSpent ? next : undefined };
}

function isAnyBelow({ cells, tombstone }: Row, floor: HlcText): boolean {
  const isBelow = ({ hlc }: { hlc: HlcText }) => compareHlc(hlc, floor) <= 0;
  return (tombstone !== undefined && isBelow(tombstone)) || [...cells.values()].some(isBelow);
}

/**
 * Removes from a row what is up to the floor and moves what is newer to `to`, if there is such a
 * row.
 */
function takeOut(
  from: LoadedRow,
  floor: HlcText,
  to: LoadedRow | undefined,
  changes: MovedChanges,
  allowResurrection: boolean,
): void {
  const { row } = from;
  const { tombstone } = row;
  if (tombstone !== undefined) {
    const isBelow = compareHlc(tombstone.hlc, floor) <= 0;
    if (!isBelow && to !== undefined) {
      moveTombstone(tombstone, to, changes, allowResurrection);
    }
    if (isBelow || to !== undefined) row.tombstone = undefined;
  }
  for (const [column, cell] of row.cells) {
    const isBelow = compareHlc(cell.hlc, floor) <= 0;
    if (!isBelow && to === undefined) continue;
    row.cells.delete(column);
    changes.replaced++;
    if (isBelow || to === undefined) continue;
    const outcome = mergeCell(to.row, column, cell, allowResurrection);
    if (outcome === 'applied') changes.addColumn(column, cell, to);
  }
  from.changed = true;
  if (to !== undefined) to.changed = true;
}

/** An expired tombstone is logged only if it deletes something in the new table. */
function moveTombstone(
  tombstone: Tombstone,
  to: LoadedRow,
  changes: MovedChanges,
  allowResurrection: boolean,
): void {
  const columnsBefore = [...to.row.cells.keys()];
  const wasExpired = isExpired(tombstone);
  const moved = { ...tombstone, position: wasExpired ? undefined : changes.position };
  if (mergeTombstone(to.row, moved, allowResurrection) !== 'applied') return;
  const taken = columnsBefore.length - to.row.cells.size;
  changes.replaced += taken;
  if (wasExpired && taken === 0) return;
  moved.position = changes.position;
  changes.addDelete(moved, columnsBefore, to);
}
