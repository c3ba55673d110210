/**
 * Renames and drops that have no answer yet leave the rows where the server has told them: here it says
 * which of those a table shows meanwhile. So DDL that is refused leaves nothing behind.
 */

import { HLC_MIN, type HlcText, maxHlc } from '../../../../src/clock/hlc.ts';
import type { Migration } from '../protocol/messages.ts';
import { type Catalog, fromKeyOf } from './catalog.ts';
import { tableKeyOf } from './entries.ts';

/** What is newer than `floor` of what is held under a name. */
export interface Source {
  tableKey: string;
  floor: HlcText;
}

/**
 * @param pending in the order of their HLCs
 * @param catalog with them
 * @returns by the name of a table, where that is not the one that it has in the replica
 */
export function sourcesOf(pending: readonly Migration[], catalog: Catalog): Map<string, Source[]> {
  const sources = new Map<string, Source[]>();
  const sourceOf = (key: string) => sources.get(key) ?? [{ tableKey: key, floor: HLC_MIN }];
  for (const migration of pending) {
    const { type, schema, table, hlc } = migration;
    if (!catalog.effects.has(hlc)) continue;
    const key = tableKeyOf(schema, table);
    if (type === 'drop_table') {
      const above = ({ tableKey, floor }: Source) => ({ tableKey, floor: maxHlc(floor, hlc) });
      sources.set(key, sourceOf(key).map(above));
    } else {
      const from = fromKeyOf(migration);
      sources.set(key, [...sourceOf(key), ...sourceOf(from)]);
      sources.set(from, []);
    }
  }
  return sources;
}
