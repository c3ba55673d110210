/** What a group of change sets will need from the store, so that it can be read in one go. */

import type { SiteIdText } from '../clock/site-id.ts';
import type { WireChangeSet } from '../wire/schemas.ts';
import type { Catalog } from './catalog.ts';
import type { PreparedChange } from './prepare.ts';
import { addressText, type RowAddress } from './row-set.ts';

export interface PreparedSet {
  changeSet: WireChangeSet;
  changes: PreparedChange[];
}

export interface ReadPlan {
  rows: RowAddress[];
  sites: SiteIdText[];
  tableIds: number[];
}

/** Where things stand by the catalog as it is; DDL in the group may still move them about. */
export function planReads(sets: readonly PreparedSet[], catalog: Catalog): ReadPlan {
  const rows = new Map<string, RowAddress>();
  const tableIds = new Set<number>();
  const sites = new Set<SiteIdText>();
  for (const { changeSet, changes } of sets) {
    sites.add(changeSet.siteId);
    for (const { schema, table, fromTable = table } of changeSet.schemaMigrations) {
      for (const name of [table, fromTable]) {
        const known = catalog.liveTable(schema, name);
        if (known !== undefined) tableIds.add(known.id);
      }
    }
    for (const { change, identity } of changes) {
      const { schema, table, hlc } = change;
      const place = catalog.timeline.resolve(schema, table, hlc);
      const live = place === undefined ? undefined : catalog.liveTable(schema, place.table);
      if (live === undefined) continue;
      tableIds.add(live.id);
      const address = { tableId: live.id, identity };
      rows.set(addressText(address), address);
    }
  }
  return { rows: [...rows.values()], sites: [...sites], tableIds: [...tableIds] };
}
