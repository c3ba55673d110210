/**
 * How much one row may hold: it is read, merged and written as a whole, so that the smallest change to it
 * costs what all of it does.
 */

import type { LimitName } from '../../errors/limit-names.ts';
import { SyncError } from '../../errors/sync-error.ts';
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

/** Of a cell's HLC, and of what stands between its parts. */
const CELL_CHARS = 43;

/** Of a cell in its row; 0 for one that is not there. */
export function cellSize({ cells }: Row, column: string, cell: Cell | undefined): number {
  if (cell === undefined) return 0;
  const { value, pk } = cell;
  const size = CELL_CHARS + column.length + value.length;
  // The key is kept once, and with the cells that spell it otherwise.
  for (const { pk: rowPk } of cells.values()) return pk === rowPk ? size : size + pk.length;
  return size;
}

/**
 * Whether a cell makes more of a row than there may be. One that holds more already, from before there
 * was a limit, is no reason to refuse what adds nothing to it.
 * @param where which row it is, for people
 * @param grown by how much, in characters and columns, the cell has just made it larger
 * @throws SyncError TOO_LARGE
 */
export function refuseRowGrowth(
  { cells }: Row,
  size: number,
  grown: { size: number; columns: number },
  { columnsPerRow, rowBytes }: RowLimits,
  where: () => string,
): void {
  if (grown.columns > 0 && cells.size > columnsPerRow) {
    refuse('limits.columnsPerRow', columnsPerRow, 'columns', where());
  }
  if (grown.size > 0 && size > rowBytes) refuse('limits.rowBytes', rowBytes, 'bytes', where());
}

/**
 * What a deletion says of the row before is kept with it, and counts as a row of its own: the row may be
 * written again, as large as it was.
 * @param priorRow JSON
 * @param sizeBefore of the row that is deleted: what says no more than that row held is no reason to refuse
 * @param where which row it is, for people
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
  throw new SyncError('TOO_LARGE', `${where}: more than ${limit} (${most}) ${what} in one row`, {
    limit,
  });
}
