/**
 * Finds deletions that a client may not have received: it writes to a deleted row as if it were
 * there. They are sent again, or it would keep the deleted row.
 */

import { compareHlc, type HlcText } from '../../clock/hlc.ts';
import type { WireChange } from '../../protocol/schemas.ts';
import { type ChangeListJson, changedRowJson, type JsonNames } from '../records/change-json.ts';
import type { Row } from '../records/row.ts';
import type { LoadedRow } from '../records/row-set.ts';
import type { ChangeTarget } from '../tables/change-target.ts';

/** The site that wrote a change, or the change that this one answers. */
export interface Writer {
  isAnswer: boolean;
  /** The position of the last snapshot that the site was sent. */
  snapshot(): HlcText | undefined;
}

/**
 * Whether a change was skipped because of a deletion that its site may not have received: an
 * expired one, or one that its last snapshot left out because the row lives again.
 */
export function isTombstoneUndelivered(
  { type, hlc }: WireChange,
  { isLive }: ChangeTarget,
  { tombstone, cells }: Row,
  { isAnswer, snapshot }: Writer,
): boolean {
  if (!isLive || tombstone === undefined) return false;
  // A site that deletes a row has deleted it locally. If an answer deletes it, the site that is
  // answered has not.
  if (type === 'delete' && !isAnswer) return false;
  // Equal: the deletion may be this same answer, made before.
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

/** A deletion that is sent again. */
export interface RedeliveredTombstone {
  tableId: number;
  hlc: HlcText;
  addTo(list: ChangeListJson): void;
}

/**
 * The deletions as changes to be logged.
 * @param position their new position in the log
 */
export function redeliver(
  undelivered: readonly UndeliveredTombstone[],
  position: HlcText,
  names: JsonNames,
): RedeliveredTombstone[] {
  const redelivered = new Set<LoadedRow>();
  return undelivered.flatMap(({ target, loaded }) => {
    const { tombstone } = loaded.row;
    if (tombstone === undefined || redelivered.has(loaded)) return [];
    redelivered.add(loaded);
    loaded.row.tombstone = { ...tombstone, position };
    loaded.changed = true;
    const { hlc, pk } = tombstone;
    const { id: tableId, schema, table = '' } = target.table;
    const row = changedRowJson(names.json(schema), names.json(table), pk);
    const addTo = (list: ChangeListJson) => list.addDelete(row, hlc, undefined);
    return { tableId, hlc, addTo };
  });
}
