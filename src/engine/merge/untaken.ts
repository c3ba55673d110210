/**
 * Sites that did not take what took effect, since they hold something newer that was refused: gathers
 * what they have to be told, and puts it into the log for each of them alone.
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

/** Of each row the columns that one site has to be told. */
type Telling = Map<TouchedRow, Set<string>>;

export class Untaken {
  readonly #transaction: WriteTransaction;
  readonly #names: JsonNames;
  readonly #identity: Identity;
  readonly #pace: Pace;
  readonly #touched = new Map<LoadedRow, TouchedRow>();
  readonly #tellBySite = new Map<SiteIdText, Telling>();

  constructor(transaction: WriteTransaction, names: JsonNames, identity: Identity, pace: Pace) {
    this.#transaction = transaction;
    this.#names = names;
    this.#identity = identity;
    this.#pace = pace;
  }

  /** A change of a site's was refused, and the site holds it. */
  refused(change: WireChange, target: ChangeTarget, loaded: LoadedRow, site: SiteIdText): void {
    const { held, floors } = this.#transaction;
    const floor = floors.of(site);
    if (floor?.isIdle) {
      // It starts over, from a snapshot in which all is newer than that.
      floors.raise(site, answerHlc(change.hlc, this.#identity.siteId), true);
      return;
    }
    const holding = held.holding(target.address, target.pk, site);
    noteRefused(change, loaded.row, holding, floor?.hlc, this.#tellOf(site, target, loaded));
  }

  /** A change took effect. */
  applied(applied: Applied, target: ChangeTarget, loaded: LoadedRow): void {
    const { held, floors } = this.#transaction;
    const { hlc } = applied.change;
    if (held.isEmpty && !floors.mayConcern(hlc)) return;
    const { address, pk } = target;
    const above = new Map(floors.above(hlc));
    for (const [site, holding] of held.get(address)?.sites ?? []) {
      noteApplied(applied, holding, above.get(site), this.#tellOf(site, target, loaded));
      above.delete(site);
    }
    for (const [site, floor] of above) {
      const holding = held.holding(address, pk, site);
      noteApplied(applied, holding, floor, this.#tellOf(site, target, loaded));
    }
  }

  /** What a site held of a row has become what it holds of another. */
  moved(from: Holding, target: ChangeTarget, loaded: LoadedRow, site: SiteIdText): void {
    const holding = this.#transaction.held.holding(target.address, target.pk, site);
    noteMoved(from, loaded.row, holding, this.#tellOf(site, target, loaded));
  }

  #tellOf(site: SiteIdText, target: ChangeTarget, loaded: LoadedRow): Set<string> {
    let touched = this.#touched.get(loaded);
    if (touched === undefined) {
      touched = { target, loaded };
      this.#touched.set(loaded, touched);
    }
    let telling = this.#tellBySite.get(site);
    if (telling === undefined) {
      telling = new Map();
      this.#tellBySite.set(site, telling);
    }
    let tell = telling.get(touched);
    if (tell === undefined) {
      tell = new Set();
      telling.set(touched, tell);
    }
    return tell;
  }

  /**
   * After a batch.
   * @param bytesMax once more than that has been told, others are not
   * @returns those others: they have to start over
   */
  async tell(bytesMax = Number.POSITIVE_INFINITY): Promise<readonly SiteIdText[]> {
    if (this.#touched.size === 0) return [];
    const left: SiteIdText[] = [];
    let bytes = 0;
    for (const [site, telling] of this.#tellBySite) {
      if (bytes <= bytesMax) {
        bytes += await this.#tellSite(site, telling);
        continue;
      }
      await this.#giveUp(site, telling);
      left.push(site);
    }
    for (const { target, loaded } of this.#touched.values()) {
      const held = this.#transaction.held.get(target.address);
      if (held !== undefined) settle(held, loaded.row);
      const turn = this.#pace.did(1);
      if (turn !== undefined) await turn;
    }
    this.#touched.clear();
    this.#tellBySite.clear();
    return left;
  }

  /** It starts over, from a snapshot in which all is newer than what it holds. */
  async #giveUp(site: SiteIdText, telling: Telling): Promise<void> {
    const { held, floors } = this.#transaction;
    await floors.load();
    for (const { target } of telling.keys()) {
      const holding = held.get(target.address)?.sites.get(site);
      if (holding === undefined) continue;
      for (const { hlc } of heldOf(holding)) {
        floors.raise(site, answerHlc(hlc, this.#identity.siteId), true);
      }
    }
    const floor = floors.of(site);
    if (floor !== undefined) floors.raise(site, floor.hlc, true);
  }

  /** @returns the bytes of it */
  async #tellSite(site: SiteIdText, telling: Telling): Promise<number> {
    const { log, held } = this.#transaction;
    const position = log.nextPosition();
    const letter = new Letter(this.#names);
    const after = (hlc: HlcText) => answerHlc(hlc, this.#identity.siteId);
    for (const [{ target, loaded }, tell] of telling) {
      const holding = held.get(target.address)?.sites.get(site);
      if (holding === undefined) continue;
      const { changes, replaced } = restate(loaded.row, holding, tell, after, position);
      log.noteReplaced(replaced);
      const { id, schema, table = '' } = target.table;
      for (const change of changes) letter.add({ id, schema, table, pk: target.pk }, change);
      const turn = this.#pace.did(1 + changes.length);
      if (turn !== undefined) await turn;
    }
    return letter.send(this.#transaction, position, site, this.#identity.siteIdText);
  }
}

interface RowName {
  id: number;
  schema: string;
  table: string;
  /** JSON. */
  pk: string;
}

/** What one site is told. */
export class Letter {
  readonly #names: JsonNames;
  readonly #changes = new ChangeListJson();
  readonly #tables = new RunWriter();

  constructor(names: JsonNames) {
    this.#names = names;
  }

  /** @param change without a column a deletion; its column and value are JSON */
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
