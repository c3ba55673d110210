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
import {
  type Applied,
  type Holding,
  heldOf,
  noteApplied,
  noteMoved,
  noteRefused,
  restate,
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

/**
 * Bytes of all reverts for one batch, or one step; a single one may be longer. Each site that was
 * refused the same cell would get a copy of a long value.
 */
export const REVERT_BYTES_MAX = 4 * 1024 * 1024;

/** What may still be logged for single sites. */
export interface RevertBudget {
  bytes: number;
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

  constructor(transaction: WriteTransaction, names: JsonNames, identity: Identity, pace: Pace) {
    this.#transaction = transaction;
    this.#names = names;
    this.#identity = identity;
    this.#pace = pace;
  }

  /** A change of a site was refused, and the site holds it. The site must be loaded. */
  refused(change: WireChange, target: ChangeTarget, loaded: LoadedRow, site: SiteIdText): void {
    const { held, floors } = this.#transaction;
    if (floors.isIdle(site)) {
      // It has to start over, from a snapshot in which all is newer than this change.
      floors.raise(site, answerHlc(change.hlc, this.#identity.siteId), true);
      return;
    }
    const floor = floors.of(site)?.hlc;
    const holding = held.holding(target.address, target.pk, site);
    noteRefused(change, loaded.row, holding, floor, this.#columnsOf(site, target, loaded));
  }

  /** Whether a site may hold what a change that takes effect with this HLC has to beat there. */
  mayConcern(hlc: HlcText): boolean {
    const { held, floors } = this.#transaction;
    return !held.isEmpty || floors.mayConcern(hlc);
  }

  /** A change took effect that `mayConcern` a site. */
  applied(applied: Applied, target: ChangeTarget, loaded: LoadedRow): void {
    const { held, floors } = this.#transaction;
    const { hlc } = applied.change;
    floors.applied(hlc);
    const { address, pk } = target;
    const above = new Map(floors.above(hlc));
    for (const [site, holding] of held.get(address)?.sites ?? []) {
      noteApplied(applied, holding, above.get(site), this.#columnsOf(site, target, loaded));
      above.delete(site);
    }
    for (const [site, floor] of above) {
      const holding = held.holding(address, pk, site);
      noteApplied(applied, holding, floor, this.#columnsOf(site, target, loaded));
    }
  }

  /** A row has moved to another table, and with it what a site holds of it. */
  moved(from: Holding, target: ChangeTarget, loaded: LoadedRow, site: SiteIdText): void {
    const holding = this.#transaction.held.holding(target.address, target.pk, site);
    noteMoved(from, loaded.row, holding, this.#columnsOf(site, target, loaded));
  }

  #columnsOf(site: SiteIdText, target: ChangeTarget, loaded: LoadedRow): Set<string> {
    let touched = this.#touched.get(loaded);
    if (touched === undefined) {
      touched = { target, loaded };
      this.#touched.set(loaded, touched);
    }
    let rows = this.#rowsBySite.get(site);
    if (rows === undefined) {
      rows = new Map();
      this.#rowsBySite.set(site, rows);
    }
    let columns = rows.get(touched);
    if (columns === undefined) {
      columns = new Set();
      rows.set(touched, columns);
    }
    return columns;
  }

  /**
   * Logs what was gathered. To be called after each batch, and each step.
   * @param budget once it is spent, the remaining sites get nothing
   * @returns those sites, which have to start over
   */
  async send(budget: RevertBudget): Promise<readonly SiteIdText[]> {
    if (this.#touched.size === 0) return [];
    const left: SiteIdText[] = [];
    for (const [site, rows] of this.#rowsBySite) {
      if (budget.bytes >= 0) {
        budget.bytes -= await this.#sendTo(site, rows);
        continue;
      }
      await this.#raiseFloor(site, rows);
      left.push(site);
    }
    for (const { target, loaded } of this.#touched.values()) {
      const held = this.#transaction.held.get(target.address);
      if (held !== undefined) settle(held, loaded.row);
      const turn = this.#pace.did(1);
      if (turn !== undefined) await turn;
    }
    this.#touched.clear();
    this.#rowsBySite.clear();
    return left;
  }

  /** Makes a site start over, from a snapshot in which all is newer than what it holds. */
  async #raiseFloor(site: SiteIdText, rows: ColumnsByRow): Promise<void> {
    const { held, floors, sites } = this.#transaction;
    await sites.load([site]);
    for (const { target } of rows.keys()) {
      const holding = held.get(target.address)?.sites.get(site);
      if (holding === undefined) continue;
      for (const { hlc } of heldOf(holding)) {
        floors.raise(site, answerHlc(hlc, this.#identity.siteId), true);
      }
    }
    const floor = floors.of(site);
    if (floor !== undefined) floors.raise(site, floor.hlc, true);
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
      const { id, schema, table = '' } = target.table;
      for (const change of changes) revert.add({ id, schema, table, pk: target.pk }, change);
      const turn = this.#pace.did(1 + changes.length);
      if (turn !== undefined) await turn;
    }
    return revert.send(this.#transaction, position, site, this.#identity.siteIdText);
  }
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
    to: SiteIdText,
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
