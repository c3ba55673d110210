/**
 * Deletions that a client may not have heard of, found when it writes to a row as if there were none:
 * they are told once more, or it would go on holding what was deleted.
 */

import { compareHlc, type HlcText } from '../../clock/hlc.ts';
import type { WireChange } from '../../protocol/schemas.ts';
import { type ChangeListJson, changedRowJson, type JsonNames } from '../records/change-json.ts';
import type { Row } from '../records/row.ts';
import type { LoadedRow } from '../records/row-set.ts';
import type { ChangeTarget } from '../tables/change-target.ts';

/** The site that wrote a change, or what is answered by it. */
export interface Writer {
  isAnswer: boolean;
  /** Where the last snapshot stood that the site has had. */
  snapshot(): HlcText | undefined;
}

/**
 * Whether a change was skipped for a deletion that its site may not have heard of: one that has
 * expired, or one that its last snapshot left out because the row lives again.
 */
export function isTombstoneUndelivered(
  { type, hlc }: WireChange,
  { isLive }: ChangeTarget,
  { tombstone, cells }: Row,
  { isAnswer, snapshot }: Writer,
): boolean {
  if (!isLive || tombstone === undefined) return false;
  // Who deletes a row has it deleted, whether that counts or not. Not so who wrote what is answered with that.
  if (type === 'delete' && !isAnswer) return false;
  // The deletion may be the answer itself, made before.
  const order = compareHlc(hlc, tombstone.hlc);
  if (order > 0 || (order === 0 && !isAnswer)) return false;
  const { position } = tombstone;
  if (position === undefined) return true;
  const seen = cells.size > 0 ? snapshot() : undefined;
  return seen !== undefined && compareHlc(seen, position) >= 0;
}

export interface UndeliveredTombstone {
  target: ChangeTarget;
  loaded: LoadedRow;
}

/** A deletion that is told once more. */
export interface RedeliveredTombstone {
  tableId: number;
  hlc: HlcText;
  addTo(list: ChangeListJson): void;
}

/**
 * The deletions as changes of the coordinator's.
 * @param position where in the log they will stand
 */
export function redeliver(
  undelivered: readonly UndeliveredTombstone[],
  position: HlcText,
  names: JsonNames,
): RedeliveredTombstone[] {
  const told = new Set<LoadedRow>();
  return undelivered.flatMap(({ target, loaded }) => {
    const { tombstone } = loaded.row;
    if (tombstone === undefined || told.has(loaded)) return [];
    told.add(loaded);
    loaded.row.tombstone = { ...tombstone, position };
    loaded.changed = true;
    const { hlc, pk } = tombstone;
    const { id: tableId, schema, table = '' } = target.table;
    const row = changedRowJson(names.json(schema), names.json(table), pk);
    const addTo = (list: ChangeListJson) => list.addDelete(row, hlc, undefined);
    return { tableId, hlc, addTo };
  });
}
