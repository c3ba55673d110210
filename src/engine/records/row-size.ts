/**
 * Limits the size of a row. A row is read, merged and written as a whole, so the cost of the
 * smallest change grows with the row.
 */

import type { LimitName } from '../../errors/limit-names.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { WireColumnChange } from '../../protocol/schemas.ts';
import type { Cell, Row } from './row.ts';

export interface RowLimits {
  /** Most columns of a row. */
  columnsPerRow: number;
  /** Most characters of a row, about as it is stored. */
  rowBytes: number;
}

export const UNLIMITED_ROW: RowLimits = {
  columnsPerRow: Number.POSITIVE_INFINITY,
  rowBytes: Number.POSITIVE_INFINITY,
};

/** The length of a cell's HLC and of the separators. */
const CELL_CHARS = 43;

/** The characters that a cell takes in its row; 0 if it is not there. */
export function cellSize({ cells }: Row, column: string, cell: Cell | undefined): number {
  if (cell === undefined) return 0;
  const { value, pk } = cell;
  const size = CELL_CHARS + column.length + value.length;
  // The key is stored once for the row, and again in each cell that spells it differently.
  for (const { pk: rowPk } of cells.values()) return pk === rowPk ? size : size + pk.length;
  return size;
}

/**
 * Refuses a cell that makes a row larger than the limits. A row may already exceed a limit that was
 * lowered: then changes that do not make it larger are accepted.
 * @param size of the row with the cell
 * @param grown the characters by which the cell makes the row larger
 * @param columns the columns by which it does
 * @param change names the cell in the message
 * @throws SyncError TOO_LARGE
 */
export function refuseRowGrowth(
  { cells }: Row,
  size: number,
  grown: number,
  columns: number,
  { columnsPerRow, rowBytes }: RowLimits,
  change: WireColumnChange,
): void {
  if (columns > 0 && cells.size > columnsPerRow) {
    refuse('limits.columnsPerRow', columnsPerRow, 'columns', nameOf(change));
  }
  if (grown > 0 && size > rowBytes) {
    refuse('limits.rowBytes', rowBytes, 'bytes', nameOf(change));
  }
}

function nameOf({ schema, table, column }: WireColumnChange): string {
  return `${schema}.${table}.${column}`;
}

/**
 * Refuses a deletion whose `priorRow` exceeds the limit for a row. It is stored with the tombstone,
 * and does not count for the row, which may be written again as large as it was.
 * @param priorRow JSON
 * @param sizeBefore the size of the deleted row: a `priorRow` up to this size is accepted
 * @param where names the row in the message
 * @throws SyncError TOO_LARGE
 */
export function refuseLongPriorRow(
  priorRow: string | undefined,
  sizeBefore: number,
  { rowBytes }: RowLimits,
  where: () => string,
): void {
  const size = priorRow?.length ?? 0;
  if (size > rowBytes && size > sizeBefore) refuse('limits.rowBytes', rowBytes, 'bytes', where());
}

function refuse(limit: LimitName, most: number, what: string, where: string): never {
  const unplaced = `more than ${limit} (${most}) ${what} in one row`;
  throw new SyncError('TOO_LARGE', `${where}: ${unplaced}`, { limit, unplaced });
}
