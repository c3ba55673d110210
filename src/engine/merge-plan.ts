/** What a group of change sets will need from the store, so that it can be read in one go. */

import type { SiteIdText } from '../clock/site-id.ts';
import type { WireChange, WireChangeSet } from '../wire/schemas.ts';
import { pkIdentity } from '../wire/values.ts';
import type { Catalog } from './catalog.ts';
import { type RowAddress, rowAddress } from './row-set.ts';

export interface ReadPlan {
  rows: RowAddress[];
  sites: SiteIdText[];
  tableIds: number[];
}

/** Where things stand by the catalog as it is; DDL in the group may still move them about. */
export function planReads(sets: readonly WireChangeSet[], catalog: Catalog): ReadPlan {
  const { timeline } = catalog;
  const rows = new Map<string, RowAddress>();
  const tableIds = new Set<number>();
  const sites = new Set<SiteIdText>();
  for (const { siteId, changes, schemaMigrations } of sets) {
    sites.add(siteId);
    for (const { schema, table, fromTable = table } of schemaMigrations) {
      for (const name of [table, fromTable]) {
        const known = catalog.liveTable(schema, name);
        if (known !== undefined) tableIds.add(known.id);
      }
    }
    let last: WireChange | undefined;
    for (const change of changes) {
      if (last !== undefined && timeline.isEmpty && isOfSameRow(change, last)) continue;
      last = change;
      const { schema, table, hlc, pk } = change;
      const place = timeline.resolve(schema, table, hlc);
      const live = place === undefined ? undefined : catalog.liveTable(schema, place.table);
      if (live === undefined) continue;
      tableIds.add(live.id);
      const address = rowAddress(live.id, pkIdentity(pk));
      rows.set(address.text, address);
    }
  }
  return { rows: [...rows.values()], sites: [...sites], tableIds: [...tableIds] };
}

/**
 * Whether two changes name one row in the same words. The cells of a row follow each other: what
 * was worked out for one serves the next. (-0 and 0 are one key, and leave as JSON's 0 both.)
 */
export function isOfSameRow(a: WireChange, b: WireChange): boolean {
  if (a.table !== b.table || a.schema !== b.schema || a.pk.length !== b.pk.length) return false;
  for (let i = 0; i < a.pk.length; i++) {
    const value = a.pk[i];
    if (value !== b.pk[i] || (typeof value === 'object' && value !== null)) return false;
  }
  return true;
}
