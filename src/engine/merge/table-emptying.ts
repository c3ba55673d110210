/**
 * Emptying a table that has ended, in steps, beside the writers: what is no newer than its floor is
 * cleared away, and what is newer moves to the table that has taken its place, by the ordinary
 * merge. What takes effect there is told as new. So no transaction touches more rows than those of
 * its changes and one step, and no path loads a table.
 *
 * A step begins with the row after the last one that was looked at. Begun anew, after a restart, it
 * begins with the first: what was done is gone by then.
 */

import { compareHlc, type HlcText, maxHlc } from '../../clock/hlc.ts';
import { pkIdentity } from '../../protocol/values.ts';
import { authorsOf } from '../log/log-record.ts';
import { RunWriter } from '../log/record-tables.ts';
import { ChangeListJson, changedRowJson, columnMember } from '../records/change-json.ts';
import { tableRange } from '../records/keys.ts';
import {
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
import { isBelowFloor, successorOf } from '../tables/table-names.ts';
import { joinedPast } from './table-ddl.ts';
import type { WriteTransaction } from './write-transaction.ts';

/** A step looks at so many rows. */
export const STEP_ROWS_MAX = 100;
const STEP_BYTES_MAX = 256 * 1024;

/** What may still be looked at in a transaction. */
export class StepBudget {
  rows: number;
  bytes = STEP_BYTES_MAX;

  constructor({ stepRows }: EmptyingContext) {
    this.rows = stepRows;
  }

  get isSpent(): boolean {
    return this.rows <= 0 || this.bytes <= 0;
  }
}

export interface EmptyingContext {
  /** The coordinator's site: what is told is its own. */
  siteIdText: string;
  allowResurrection: boolean;
  /** Rows that a step looks at. */
  stepRows: number;
}

/** Where a table's rows belong by now. */
interface Destination {
  /** The last of its successors; `undefined` if it has none. */
  table: TableRecord | undefined;
  /** The greatest on the way. */
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

/** Whether something can be done for a table now: what belongs to a hidden one waits. */
export function canBeEmptied(catalog: CatalogView, table: TableRecord): boolean {
  const { table: into } = destinationOf(catalog, table);
  return table.unsettled === true && (into === undefined || isLive(into));
}

/** What a step's way through a table hangs on: when it changes, the table is gone through anew. */
export function emptyingMark(catalog: CatalogView, table: TableRecord): string {
  const { table: into, floor } = destinationOf(catalog, table);
  return `${table.id} ${floor} ${into?.id ?? 0}`;
}

/**
 * One step.
 * @param after the key of the row with which the last one ended
 * @returns the key to go on after; `undefined` when nothing is left to do for the table, or it has to wait
 */
export async function emptySome(
  transaction: WriteTransaction,
  id: number,
  after: Uint8Array | undefined,
  budget: StepBudget,
  context: EmptyingContext,
): Promise<Uint8Array | undefined> {
  const { catalog } = transaction;
  const table = catalog.table(id);
  if (table === undefined || !canBeEmptied(catalog, table)) return undefined;
  const { table: into, floor } = destinationOf(catalog, table);
  const { rows, next } = await readSome(transaction, id, after, budget);
  // It can't be hidden, or it would have to wait.
  const target = into !== undefined && isLive(into) ? into : undefined;
  const leaving = rows.filter(
    ({ loaded }) => target !== undefined || isAnyBelow(loaded.row, floor),
  );
  if (target !== undefined) {
    const addresses = leaving.map(({ identity }) => ({ tableId: target.id, identity }));
    await transaction.rows.load(addresses);
  }
  const told = new Told(transaction, target, context);
  for (const { identity, loaded } of leaving) {
    const there = target && transaction.rows.get({ tableId: target.id, identity });
    takeOut(loaded, floor, there, told, context.allowResurrection);
  }
  told.append();
  if (next === undefined) settle(catalog, table, target);
  return next;
}

interface FoundRow {
  identity: string;
  loaded: LoadedRow;
}

/** Rows as this transaction has them; those that it has made itself come with the first step. */
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
  return { rows: list, next: budget.isSpent ? next : undefined };
}

/** A key may hold a hash in place of the identity, so it is worked out from the row's own key. */
export function rowIdentity(row: Row): string {
  const [cell] = row.cells.values();
  return pkIdentity(JSON.parse(cell?.pk ?? row.tombstone?.pk ?? '[]'));
}

function isAnyBelow({ cells, tombstone }: Row, floor: HlcText): boolean {
  const isBelow = ({ hlc }: { hlc: HlcText }) => compareHlc(hlc, floor) <= 0;
  return (tombstone !== undefined && isBelow(tombstone)) || [...cells.values()].some(isBelow);
}

/** Takes out of a row what is up to the floor and, if there is a place for it, all that is newer. */
function takeOut(
  from: LoadedRow,
  floor: HlcText,
  to: LoadedRow | undefined,
  told: Told,
  allowResurrection: boolean,
): void {
  const { row } = from;
  const { tombstone } = row;
  if (tombstone !== undefined) {
    const isBelow = compareHlc(tombstone.hlc, floor) <= 0;
    if (!isBelow && to !== undefined) {
      moveTombstone(tombstone, to.row, told, allowResurrection);
    }
    if (isBelow || to !== undefined) row.tombstone = undefined;
  }
  for (const [column, cell] of row.cells) {
    const isBelow = compareHlc(cell.hlc, floor) <= 0;
    if (!isBelow && to === undefined) continue;
    row.cells.delete(column);
    told.replaced++;
    if (isBelow || to === undefined) continue;
    const outcome = mergeCell(to.row, column, cell, allowResurrection);
    if (outcome === 'applied') told.addColumn(column, cell);
  }
  from.changed = true;
  if (to !== undefined) to.changed = true;
}

/** One that has expired is told only where it takes something away: nobody has heard of it there. */
function moveTombstone(
  tombstone: Tombstone,
  to: Row,
  told: Told,
  allowResurrection: boolean,
): void {
  const cellsBefore = to.cells.size;
  const wasExpired = isExpired(tombstone);
  const moved = { ...tombstone, position: wasExpired ? undefined : told.position };
  if (mergeTombstone(to, moved, allowResurrection) !== 'applied') return;
  const taken = cellsBefore - to.cells.size;
  told.replaced += taken;
  if (wasExpired && taken === 0) return;
  moved.position = told.position;
  told.addDelete(moved);
}

/** What has moved and takes effect: one change set of the coordinator's own. */
class Told {
  readonly position: HlcText;
  /** Cells that went: the changes that made them stand in the log for nothing. */
  replaced = 0;
  readonly #transaction: WriteTransaction;
  readonly #into: LiveTable | undefined;
  readonly #siteIdText: string;
  readonly #changes = new ChangeListJson();
  readonly #hlcs: HlcText[] = [];

  constructor(
    transaction: WriteTransaction,
    into: LiveTable | undefined,
    { siteIdText }: EmptyingContext,
  ) {
    this.#transaction = transaction;
    this.#into = into;
    this.#siteIdText = siteIdText;
    this.position = transaction.log.nextPosition();
  }

  addDelete({
    pk,
    hlc,
    priorRow,
  }: {
    pk: string;
    hlc: HlcText;
    priorRow: string | undefined;
  }): void {
    this.#changes.addDelete(this.#row(pk), hlc, priorRow);
    this.#hlcs.push(hlc);
  }

  addColumn(column: string, { pk, hlc, value }: { pk: string; hlc: HlcText; value: string }): void {
    this.#changes.addColumn(this.#row(pk), { hlc }, columnMember(column), value);
    this.#hlcs.push(hlc);
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

/** All of a table has been looked at. */
function settle(catalog: CatalogDraft, table: TableRecord, into: LiveTable | undefined): void {
  if (into === undefined) catalog.setTable({ ...table, unsettled: undefined });
  else forget(catalog, table);
}

/** Nothing is left of a table: what led to it leads to its successor, or nowhere. */
function forget(catalog: CatalogDraft, { id, floor, into = 0 }: TableRecord): void {
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
  for (const before of [...catalog.unsettled()]) {
    if (before.into !== id) continue;
    catalog.setTable({ ...before, into, floor: maxHlc(before.floor, floor) });
  }
  catalog.deleteTable(id);
}

function nothingUpTo(floor: HlcText): (readonly [HlcText, number])[] {
  return isBelowFloor({ floor }, floor) ? [[floor, 0]] : [];
}
