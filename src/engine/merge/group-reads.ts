/**
 * Reads what a group of batches touches, in one call of the store as far as that can be known before
 * the group is merged.
 */

import type { SiteIdText } from '../../clock/site-id.ts';
import type { WireChange, WireChangeSet } from '../../protocol/schemas.ts';
import { pkIdentity } from '../../protocol/values.ts';
import { JsonNames } from '../records/change-json.ts';
import { countKey, siteKey } from '../records/keys.ts';
import type { Pace } from '../records/pace.ts';
import { type LoadedRow, type RowAddress, RowAddresses, toRowKey } from '../records/row-set.ts';
import type { TableRecord } from '../records/table-record.ts';
import type { CatalogView } from '../tables/catalog.ts';
import { type ChangeTarget, isOfSameRow, targetsOf } from '../tables/change-target.ts';
import { type Bearer, TargetFinder } from '../tables/table-names.ts';
import type { Batch } from './batch.ts';
import type { WriteTransaction } from './write-transaction.ts';

interface ReadPlan {
  rows: readonly RowAddress[];
  sites: SiteIdText[];
  tableIds: number[];
}

const noTable = () => undefined;

export class GroupReads {
  /** The names that changes of the group give, as JSON. */
  readonly names = new JsonNames();
  readonly #transaction: WriteTransaction;
  readonly #pace: Pace;

  constructor(transaction: WriteTransaction, pace: Pace) {
    this.#transaction = transaction;
    this.#pace = pace;
  }

  /**
   * Begins the transaction, and reads all that the group needs, unless DDL in it changes where rows are.
   * @param coordinator the site of changes of the coordinator's own
   */
  async load(batches: readonly Batch[], coordinator: SiteIdText): Promise<void> {
    const sets = batches.flatMap(({ changeSets, answers, refused, own }) => {
      const sent: Pick<WireChangeSet, 'siteId' | 'changes'>[] = changeSets.concat(answers, refused);
      if (own !== undefined) sent.push({ siteId: coordinator, changes: [...own] });
      return sent;
    });
    const senders = batches.flatMap(({ sender }) => sender?.siteId ?? []);
    const { rows, sites, counts, held } = this.#transaction;
    let plan: ReadPlan = { rows: [], sites: [], tableIds: [] };
    let keys: Buffer[] = [];
    const values = await this.#transaction.begin(async (catalog) => {
      plan = await planReads(sets, senders, catalog, this.#pace);
      keys = [
        ...plan.rows.map(toRowKey),
        ...plan.sites.map(siteKey),
        ...plan.tableIds.map(countKey),
      ];
      return keys;
    });
    let next = 0;
    if (!held.isEmpty) await held.load(plan.rows);
    for (const address of plan.rows) {
      const { size } = rows.add(address, keys[next], values[next]);
      values[next++] = undefined;
      const turn = this.#pace.did(1, size);
      if (turn !== undefined) await turn;
    }
    for (const site of plan.sites) sites.add(site, values[next++]);
    for (const id of plan.tableIds) counts.add(id, values[next++]);
  }

  /**
   * The table and row of each change, by the catalog as it is now.
   * @param make makes the table of a change to an unknown name, if it may
   */
  targetsOf(
    changes: readonly WireChange[],
    make: (change: WireChange) => TableRecord | undefined = noTable,
  ): Promise<(ChangeTarget | undefined)[]> {
    const finder = new TargetFinder(this.#transaction.catalog);
    const tableOf = (change: WireChange) => {
      const bearer = finder.find(change);
      if (bearer === 'unknown') return make(change);
      return bearer === 'void' ? undefined : bearer;
    };
    return targetsOf(changes, this.names, tableOf, this.#pace);
  }

  /** The same, with their rows read. */
  async loadedTargetsOf(changes: readonly WireChange[]): Promise<(ChangeTarget | undefined)[]> {
    const targets = await this.targetsOf(changes);
    await this.loadRows(targets);
    return targets;
  }

  /** Reads rows that `load` could not know of, which are rare. */
  loadRows(targets: readonly (ChangeTarget | undefined)[]): Promise<void> | undefined {
    const { rows, held } = this.#transaction;
    const missing = targets.flatMap((target) =>
      target === undefined || rows.get(target.address) !== undefined ? [] : target.address,
    );
    // Emptying a table reads rows without their held rows.
    const loadHeld = () => held.load(targets.flatMap((target) => target?.address ?? []));
    if (missing.length === 0) return held.isEmpty ? undefined : loadHeld();
    return rows.load(missing).then(loadHeld);
  }

  /** A row that has been read. */
  rowOf({ address }: ChangeTarget): LoadedRow {
    const loaded = this.#transaction.rows.get(address);
    if (loaded === undefined) throw new Error('a row was not loaded before it was merged');
    return loaded;
  }
}

/** Plans by the catalog before the group; DDL in the group may still change where rows are. */
async function planReads(
  sets: readonly { siteId: SiteIdText; changes: readonly WireChange[] }[],
  senders: readonly SiteIdText[],
  catalog: CatalogView,
  pace: Pace,
): Promise<ReadPlan> {
  const rows = new RowAddresses();
  const sites = new Set<SiteIdText>(senders);
  const targets = new TargetFinder(catalog);
  for (const { siteId, changes } of sets) {
    sites.add(siteId);
    let last: WireChange | undefined;
    let lastTable: Bearer | undefined;
    // By index, as in all that waits amid the changes: an iterator made two objects for each of them.
    for (let i = 0; i < changes.length; i++) {
      const change = changes[i] as WireChange;
      const table = targets.find(change);
      const isSame = last !== undefined && table === lastTable && isOfSameRow(change, last);
      last = change;
      lastTable = table;
      if (isSame || typeof table === 'string') continue;
      const identity = pkIdentity(change.pk);
      rows.add({ tableId: table.id, identity });
      const turn = pace.did(1, identity.length);
      if (turn !== undefined) await turn;
    }
  }
  return { rows: rows.list, sites: [...sites], tableIds: [...rows.tableIds] };
}
