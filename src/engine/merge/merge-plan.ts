/** Plans what a group of change sets needs from the store, so that one call reads it. */

import type { SiteIdText } from '../../clock/site-id.ts';
import type { WireChange } from '../../protocol/schemas.ts';
import { pkIdentity } from '../../protocol/values.ts';
import type { Pace } from '../records/pace.ts';
import { type RowAddress, RowAddresses } from '../records/row-set.ts';
import type { CatalogView } from '../tables/catalog.ts';
import { isOfSameRow } from '../tables/change-target.ts';
import { type Bearer, TargetFinder } from '../tables/table-names.ts';

export interface ReadPlan {
  rows: readonly RowAddress[];
  sites: SiteIdText[];
  tableIds: number[];
}

/** Plans by the catalog before the group; DDL in the group may still change where rows are. */
export async function planReads(
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
