/**
 * Finds deletions that a client may not have received: it writes to a deleted row as if it were
 * there. They are sent again, or it would keep the deleted row.
 */

import { compareHlc, type HlcText } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { WireChange } from '../../protocol/schemas.ts';
import { authorsOf } from '../log/log-record.ts';
import type { LogWriter } from '../log/log-writer.ts';
import { RunWriter } from '../log/record-tables.ts';
import { ChangeListJson, changedRowJson, type JsonNames } from '../records/change-json.ts';
import type { Row } from '../records/row.ts';
import type { LoadedRow } from '../records/row-set.ts';
import type { ChangeTarget, TargetRow } from '../tables/change-target.ts';

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

/**
 * Logs deletions again, in a change set of the coordinator's.
 * @param undelivered rows whose deletion may not have been received
 * @param siteId the coordinator's
 */
export function redeliver(
  undelivered: readonly TargetRow[],
  log: LogWriter,
  names: JsonNames,
  siteId: SiteIdText,
): void {
  const position = log.nextPosition();
  const redelivered = new Set<LoadedRow>();
  const changes = new ChangeListJson();
  const tables = new RunWriter();
  const hlcs: HlcText[] = [];
  for (const { target, loaded } of undelivered) {
    const { tombstone } = loaded.row;
    if (tombstone === undefined || redelivered.has(loaded)) continue;
    redelivered.add(loaded);
    loaded.row.tombstone = { ...tombstone, position };
    loaded.changed = true;
    const { hlc, pk } = tombstone;
    const { id, schema, table = '' } = target.table;
    changes.addDelete(changedRowJson(names.json(schema), names.json(table), pk), hlc, undefined);
    tables.add(id);
    hlcs.push(hlc);
  }
  log.append({
    position,
    changes,
    migrations: [],
    tables: tables.toString(),
    siteId,
    transactionId: `deleted:${position}`,
    authors: authorsOf(hlcs),
  });
}
