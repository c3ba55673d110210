/**
 * Empties a table that was dropped or replaced, in steps, between the groups of writers. Cells and
 * tombstones up to its floor are removed. Newer ones move to the table that has taken its place, by
 * the ordinary merge; what takes effect there is logged as new. So no transaction touches more rows
 * than those of its changes and one step, and no path loads a whole table.
 *
 * A step begins with the row after the last one that was read. After a restart it begins with the
 * first, since rows that are done have left the table.
 */

import { compareHlc, type HlcText, maxHlc } from '../../clock/hlc.ts';
import { pkIdentity } from '../../protocol/values.ts';
import { authorsOf } from '../log/log-record.ts';
import { RunWriter } from '../log/record-tables.ts';
import { ChangeListJson, changedRowJson, columnMember, JsonNames } from '../records/change-json.ts';
import type { Applied } from '../records/held-rows.ts';
import { tableRange } from '../records/keys.ts';
import type { Pace } from '../records/pace.ts';
import {
  type Cell,
  decodeRow,
  isExpired,
  mergeCell,
  mergeTombstone,
  type Row,
  type Tombstone,
} from '../records/row.ts';
import type { LoadedRow, RowAddress } from '../records/row-set.ts';
import { isLive, type LiveTable, type TableRecord } from '../records/table-record.ts';
import type { CatalogView } from '../tables/catalog.ts';
import type { CatalogDraft } from '../tables/catalog-draft.ts';
import { joinedPast } from '../tables/past-leads.ts';
import { isBelowFloor, successorOf } from '../tables/table-names.ts';
import { boundHeld, type FullHolder, type HeldBoundContext } from './held-bound.ts';
import { beforeHeldOf, emptyHeld, isHeldKey } from './held-emptying.ts';
import { Reverts } from './reverts.ts';
import { loadThere, STEP_BYTES_MAX, type StepBudget } from './step-budget.ts';
import { passOn } from './table-ddl.ts';
import type { WriteTransaction } from './write-transaction.ts';

export interface EmptyingContext extends HeldBoundContext {
  /** The coordinator's site id, under which moved changes are logged. */
  siteIdText: string;
  pace: Pace;
  allowResurrection: boolean;
  /** Rows that a step reads. */
  stepRows: number;
}

/** Where the rows of a table belong now. */
interface Destination {
  /** The last of its successors; `undefined` if it has none. */
  table: TableRecord | undefined;
  /** The greatest floor on the way there. */
  floor: HlcText;
}

export function destinationOf(catalog: CatalogView, from: TableRecord): Destination {
  let { floor } = from;
  let table = from.into === undefined ? undefined : catalog.table(from.into);
  for (let steps = 0; table?.into !== undefined; steps++) {
    floor = maxHlc(floor, table.floor);
    table = successorOf(catalog, table, steps);
  }
  return { table, floor };
}

/** Whether a table can be emptied now: rows that belong to a hidden one wait. */
export function canBeEmptied(catalog: CatalogView, table: TableRecord): boolean {
  const { table: into } = destinationOf(catalog, table);
  return table.unsettled === true && (into === undefined || isLive(into));
}

/**
 * Changes when rows that were passed over may have to move after all: then the steps begin again.
 */
export function emptyingMark(catalog: CatalogView, table: TableRecord): string {
  const { table: into, floor } = destinationOf(catalog, table);
  return `${table.id} ${floor} ${into?.id ?? 0}`;
}

/** What a step has done. */
export interface EmptiedSome {
  /** The key after which the next step begins; `undefined` if the table is done, or has to wait. */
  next: Uint8Array | undefined;
  /** Sites that have to start over. */
  full: readonly FullHolder[];
}

/**
 * One step.
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
  if (table === undefined || !canBeEmptied(catalog, table)) return { next: undefined, full: [] };
  const reverts = new Reverts(transaction, new JsonNames(), context.identity, context.pace);
  const next = await emptyStep(transaction, { table, after }, { budget, reverts, context });
  const unsent = await reverts.send(budget.reverts);
  const full = await boundHeld(transaction, context, context.pace, unsent);
  return { next, full };
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
    if (next === undefined) finish(catalog, table, target);
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
  const moved = new MovedChanges(transaction, target, context, reverts);
  for (const { identity, loaded } of leaving) {
    const there = target && transaction.rows.get({ tableId: target.id, identity });
    takeOut(loaded, floor, there, moved, context.allowResurrection);
  }
  moved.append();
  if (next !== undefined) return next;
  // The held rows follow after the rows.
  if (!transaction.held.isEmpty) return beforeHeldOf(id);
  finish(catalog, table, target);
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

/**
 * A store key may hold a hash instead of the identity, so that is computed from the row's primary
 * key.
 */
export function rowIdentity(row: Row): string {
  const [cell] = row.cells.values();
  return pkIdentity(JSON.parse(cell?.pk ?? row.tombstone?.pk ?? '[]'));
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

/** Changes that have moved and take effect, as one change set of the coordinator's. */
class MovedChanges {
  readonly position: HlcText;
  /** Logged changes that are not needed any more, since their cells are gone. */
  replaced = 0;
  readonly #transaction: WriteTransaction;
  readonly #into: LiveTable | undefined;
  readonly #siteIdText: string;
  readonly #reverts: Reverts;
  readonly #changes = new ChangeListJson();
  readonly #hlcs: HlcText[] = [];

  constructor(
    transaction: WriteTransaction,
    into: LiveTable | undefined,
    { siteIdText }: EmptyingContext,
    reverts: Reverts,
  ) {
    this.#reverts = reverts;
    this.#transaction = transaction;
    this.#into = into;
    this.#siteIdText = siteIdText;
    this.position = transaction.log.nextPosition();
  }

  addDelete({ pk, hlc, priorRow }: Tombstone, columnsBefore: string[], to: LoadedRow): void {
    this.#changes.addDelete(this.#row(pk), hlc, priorRow);
    this.#hlcs.push(hlc);
    this.#applied({ change: { type: 'delete', hlc }, columnsBefore }, pk, to);
  }

  addColumn(column: string, { pk, hlc, value }: Cell, to: LoadedRow): void {
    this.#changes.addColumn(this.#row(pk), { hlc }, columnMember(column), value);
    this.#hlcs.push(hlc);
    const change = { type: 'column', hlc, column: JSON.parse(column) } as const;
    this.#applied({ change, columnsBefore: [] }, pk, to);
  }

  /** Sites may hold newer values of the row, and then need reverts. */
  #applied(applied: Applied, pk: string, to: LoadedRow): void {
    const table = this.#into;
    if (table === undefined) return;
    const address = { tableId: table.id, identity: pkIdentity(JSON.parse(pk)) };
    const target = { table, isLive: true, address, pk, json: this.#row(pk) };
    if (this.#reverts.mayConcern(applied.change.hlc)) this.#reverts.applied(applied, target, to);
  }

  #row(pk: string): string {
    const { schema = '', table = '' } = this.#into ?? {};
    return changedRowJson(JSON.stringify(schema), JSON.stringify(table), pk);
  }

  append(): void {
    const { log } = this.#transaction;
    log.noteReplaced(this.replaced);
    if (this.#into === undefined || this.#hlcs.length === 0) return;
    const tables = new RunWriter();
    tables.add(this.#into.id, this.#hlcs.length);
    const { position } = this;
    log.append({
      ...{ position, changes: this.#changes, migrations: [], tables: tables.toString() },
      siteId: this.#siteIdText,
      transactionId: `told:${position}`,
      authors: authorsOf(this.#hlcs),
    });
  }
}

/** All rows of a table have been read. */
function finish(catalog: CatalogDraft, table: TableRecord, into: LiveTable | undefined): void {
  if (into === undefined) catalog.setTable({ ...table, unsettled: undefined });
  else forget(catalog, table);
}

/** Deletes the record of an empty table: names that led to it lead to its successor, or nowhere. */
function forget(catalog: CatalogDraft, table: TableRecord): void {
  const { id, floor, into = 0 } = table;
  for (const name of [...catalog.namesOf(id)]) {
    const past = (name.past ?? []).flatMap((lead): (readonly [HlcText, number])[] => {
      const [until, to] = lead;
      if (to !== id) return [lead];
      if (compareHlc(until, floor) <= 0) return [[until, 0]];
      return [...nothingUpTo(floor), [until, into]];
    });
    const isLast = name.id === id;
    if (isLast) past.push(...nothingUpTo(floor));
    catalog.setName({ ...name, id: isLast ? into : name.id, past: joinedPast(past) });
  }
  passOn(catalog, table, into);
  catalog.deleteTable(id);
}

function nothingUpTo(floor: HlcText): (readonly [HlcText, number])[] {
  return isBelowFloor({ floor }, floor) ? [[floor, 0]] : [];
}
