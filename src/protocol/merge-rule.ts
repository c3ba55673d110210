/**
 * The merge rule: last writer wins, per column. Client and server decide by these functions, so both
 * come to the same state whatever the order in which they see the changes.
 *
 * They look at HLC texts only: what a change wins over, not what is done about it.
 */

import { compareHlc, type HlcText } from '../clock/hlc.ts';

/**
 * `applied`: the change takes effect. `skipped`: it was known already, or its row was deleted after
 * it. `conflicts`: the column holds a newer value.
 */
export type MergeOutcome = 'applied' | 'skipped' | 'conflicts';

/**
 * What becomes of a change of a column.
 * @param cell the HLC of the value that the column holds, if it holds one
 * @param tombstone the HLC of the row's deletion, if it was deleted
 * @param allowResurrection whether a write newer than the deletion brings the row back. Always true
 *   for an expired tombstone, which only blocks older writes
 */
export function columnOutcome(
  hlc: HlcText,
  cell: HlcText | undefined,
  tombstone: HlcText | undefined,
  allowResurrection: boolean,
): MergeOutcome {
  if (cell !== undefined) {
    const order = compareHlc(hlc, cell);
    if (order === 0) return 'skipped';
    if (order < 0) return 'conflicts';
  }
  if (tombstone === undefined) return 'applied';
  return allowResurrection && compareHlc(hlc, tombstone) > 0 ? 'applied' : 'skipped';
}

/**
 * What becomes of a delete. It takes effect even if all cells are newer: it is kept as a tombstone.
 * @param tombstone the HLC of an earlier deletion of the row
 */
export function deleteOutcome(hlc: HlcText, tombstone: HlcText | undefined): MergeOutcome {
  return tombstone !== undefined && compareHlc(hlc, tombstone) <= 0 ? 'skipped' : 'applied';
}

/**
 * Whether a delete that takes effect removes a cell of its row. Without resurrection a tombstone
 * blocks newer writes as well, so it also removes those that came before it: the result must not
 * depend on the order of arrival.
 */
export function deleteRemovesCell(
  hlc: HlcText,
  cell: HlcText,
  allowResurrection: boolean,
): boolean {
  return !allowResurrection || compareHlc(cell, hlc) <= 0;
}
