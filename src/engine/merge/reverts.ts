/**
 * Reverts: change sets in the log for one site alone, with what is stored instead of its refused
 * changes. A site that holds a refused change does not take what takes effect with a lesser HLC, so
 * that is sent to it again, under an HLC that wins there. This gathers reverts, and logs them after
 * each batch.
 */

import type { HlcText } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { WireChange } from '../../protocol/schemas.ts';
import { RunWriter } from '../log/record-tables.ts';
import {
  ChangeListJson,
  changedRowJson,
  columnMember,
  type JsonNames,
} from '../records/change-json.ts';
import type { Identity } from '../records/head.ts';
import { ALL_FLOORED } from '../records/held-floor.ts';
import {
  type Applied,
  type Holding,
  noteApplied,
  noteMoved,
  noteRefused,
  restate,
  restateForFloored,
  settle,
} from '../records/held-rows.ts';
import type { Pace } from '../records/pace.ts';
import type { LoadedRow } from '../records/row-set.ts';
import type { ChangeTarget } from '../tables/change-target.ts';
import { answerHlc } from './compensation.ts';
import type { WriteTransaction } from './write-transaction.ts';

interface TouchedRow {
  target: ChangeTarget;
  loaded: LoadedRow;
}

/** The columns of each row that one site has to be sent. */
type ColumnsByRow = Map<TouchedRow, Set<string>>;

export class Reverts {
  readonly #transaction: WriteTransaction;
  readonly #names: JsonNames;
  readonly #identity: Identity;
  readonly #pace: Pace;
  readonly #touched = new Map<LoadedRow, TouchedRow>();
  readonly #rowsBySite = new Map<SiteIdText, ColumnsByRow>();
  /** What floored sites have to be sent. */
  readonly #ofFloored: ColumnsByRow = new Map();

  constructor(transaction: WriteTransaction, names: JsonNames, identity: Identity, pace: Pace) {
    this.#transaction = transaction;
    this.#names = names;
    this.#identity = identity;
    this.#pace = pace;
  }

  /** A change of a site was refused, and the site holds it. The site must be loaded. */
  refused(change: WireChange, target: ChangeTarget, loaded: LoadedRow, site: SiteIdText): void {
    const { held, floor } = this.#transaction;
    if (floor.idleOf(site) !== undefined) {
      // It has to start over, from a snapshot in which all is newer than this change.
      floor.makeIdle(site, answerHlc(change.hlc, this.#identity.siteId));
      return;
    }
    const holding = held.holding(target.address, target.pk, site);
    const columns = this.#columnsOf(site, target, loaded);
    noteRefused(change, loaded.row, holding, floor.of(site), columns);
  }

  /** A change took effect. */
  applied(applied: Applied, target: ChangeTarget, loaded: LoadedRow): void {
    const { held, floor } = this.#transaction;
    const { change, columnsBefore } = applied;
    const isLate = floor.isAtLeast(change.hlc);
    if (held.isEmpty && !isLate) return;
    for (const [site, holding] of held.get(target.address)?.sites ?? []) {
      noteApplied(applied, holding, this.#columnsOf(site, target, loaded));
    }
    if (!isLate) return;
    const columns = this.#columnsIn(this.#ofFloored, target, loaded);
    if (change.type === 'column') columns.add(JSON.stringify(change.column));
    else for (const column of columnsBefore) columns.add(column);
  }

  /** A row has moved to another table, and with it what a site holds of it. */
  moved(from: Holding, target: ChangeTarget, loaded: LoadedRow, site: SiteIdText): void {
    const holding = this.#transaction.held.holding(target.address, target.pk, site);
    noteMoved(from, loaded.row, holding, this.#columnsOf(site, target, loaded));
  }

  #columnsOf(site: SiteIdText, target: ChangeTarget, loaded: LoadedRow): Set<string> {
    let rows = this.#rowsBySite.get(site);
    if (rows === undefined) {
      rows = new Map();
      this.#rowsBySite.set(site, rows);
    }
    return this.#columnsIn(rows, target, loaded);
  }

  #columnsIn(rows: ColumnsByRow, target: ChangeTarget, loaded: LoadedRow): Set<string> {
    let touched = this.#touched.get(loaded);
    if (touched === undefined) {
      touched = { target, loaded };
      this.#touched.set(loaded, touched);
    }
    let columns = rows.get(touched);
    if (columns === undefined) {
      columns = new Set();
      rows.set(touched, columns);
    }
    return columns;
  }

  /**
   * Logs what was gathered. To be called after each batch.
   * @param budget once it is spent, the remaining sites get nothing
   * @returns those sites, which have to start over
   */
  async send(budget: RevertBudget): Promise<readonly SiteIdText[]> {
    if (this.#touched.size === 0) return [];
    await this.#sendToFloored();
    const left: SiteIdText[] = [];
    for (const [site, rows] of this.#rowsBySite) {
      if (budget.bytes > 0) budget.bytes -= await this.#sendTo(site, rows);
      else left.push(site);
    }
    for (const { target, loaded } of this.#touched.values()) {
      const held = this.#transaction.held.get(target.address);
      if (held !== undefined) settle(held, loaded.row);
      const turn = this.#pace.did(1);
      if (turn !== undefined) await turn;
    }
    this.#touched.clear();
    this.#rowsBySite.clear();
    this.#ofFloored.clear();
    return left;
  }

  /** However many sites are floored, this is one copy of what took effect. */
  async #sendToFloored(): Promise<void> {
    const { log, floor, head } = this.#transaction;
    if (this.#ofFloored.size === 0 || floor.hlc === undefined) return;
    const position = log.nextPosition();
    const revert = new Revert(this.#names);
    const hlc = answerHlc(floor.hlc, this.#identity.siteId);
    for (const [{ target, loaded }, columns] of this.#ofFloored) {
      const changes = restateForFloored(loaded.row, columns, hlc);
      // Nobody records which later one replaces it, so compaction has to look.
      log.noteReplaced(changes.length);
      for (const change of changes) revert.add(rowNameOf(target), change);
      const turn = this.#pace.did(1 + changes.length);
      if (turn !== undefined) await turn;
    }
    const sent = revert.send(this.#transaction, position, ALL_FLOORED, this.#identity.siteIdText);
    if (sent === 0) return;
    floor.raise(hlc);
    head.floorToldAt = position;
  }

  /** @returns the size of the record in bytes */
  async #sendTo(site: SiteIdText, rows: ColumnsByRow): Promise<number> {
    const { log, held } = this.#transaction;
    const position = log.nextPosition();
    const revert = new Revert(this.#names);
    const after = (hlc: HlcText) => answerHlc(hlc, this.#identity.siteId);
    for (const [{ target, loaded }, columns] of rows) {
      const holding = held.get(target.address)?.sites.get(site);
      if (holding === undefined) continue;
      const { changes, replaced } = restate(loaded.row, holding, columns, after, position);
      log.noteReplaced(replaced);
      for (const change of changes) revert.add(rowNameOf(target), change);
      const turn = this.#pace.did(1 + changes.length);
      if (turn !== undefined) await turn;
    }
    return revert.send(this.#transaction, position, site, this.#identity.siteIdText);
  }
}

/** Bytes that reverts for single sites may still take in the log; a single one may be longer. */
export interface RevertBudget {
  bytes: number;
}

/**
 * Each site that was refused the same cell gets a copy of a long value, so what is told at once is
 * bounded.
 */
export const REVERT_BYTES_MAX = 4 * 1024 * 1024;

function rowNameOf({ table: { id, schema, table = '' }, pk }: ChangeTarget): RowName {
  return { id, schema, table, pk };
}

interface RowName {
  id: number;
  schema: string;
  table: string;
  /** JSON. */
  pk: string;
}

/** A change set of the coordinator's for one site alone. */
export class Revert {
  readonly #names: JsonNames;
  readonly #changes = new ChangeListJson();
  readonly #tables = new RunWriter();

  constructor(names: JsonNames) {
    this.#names = names;
  }

  /** @param change a deletion if it has no column; column and value are JSON */
  add(
    { id, schema, table, pk }: RowName,
    { hlc, column, value = 'null' }: { hlc: HlcText; column?: string; value?: string },
  ): void {
    const row = changedRowJson(this.#names.json(schema), this.#names.json(table), pk);
    if (column === undefined) this.#changes.addDelete(row, hlc, undefined);
    else this.#changes.addColumn(row, { hlc }, columnMember(column), value);
    this.#tables.add(id);
  }

  send(
    { log }: WriteTransaction,
    position: HlcText,
    to: SiteIdText | typeof ALL_FLOORED,
    coordinator: SiteIdText,
  ): number {
    if (this.#changes.length === 0) return 0;
    return log.append({
      ...{ position, to, siteId: coordinator, authors: coordinator },
      ...{ changes: this.#changes, migrations: [], tables: this.#tables.toString() },
      transactionId: `reverted:${position}`,
    });
  }
}
