/**
 * The rows of one generation as the server has told them, and the merge: each change wins over what
 * is held when its HLC is greater. Rows are never changed in place: a row that is changed is another
 * object, so that stores and views may keep the one that they have.
 */

import { compareHlc, type HlcText } from '../../../../src/clock/hlc.ts';
import type { SiteIdText } from '../../../../src/clock/site-id.ts';
import {
  columnOutcome,
  deleteOutcome,
  deleteRemovesCell,
} from '../../../../src/protocol/merge-rule.ts';
import { siteOf } from '../clock.ts';
import type { Change } from '../protocol/messages.ts';
import type { Cell, StoredRow } from './entries.ts';

/**
 * @param isOwn the row may be changed in place, as nobody else has it
 * @returns the row after a change; the same object if the change lost
 */
export function merge(
  row: StoredRow | undefined,
  change: Change,
  isOwn = false,
): StoredRow | undefined {
  const tombstone = row?.tombstone;
  if (change.type === 'delete') {
    return deleteOutcome(change.hlc, tombstone) === 'applied' ? withoutRow(row, change) : row;
  }
  const { column, hlc, value } = change;
  const held = row === undefined ? undefined : cellOf(row, column);
  const outcome = columnOutcome(hlc, held?.[0], tombstone, true);
  if (outcome !== 'applied') return row;
  const cell: Cell = [hlc, value];
  if (!isOwn || row === undefined) return withCell(row, change, column, cell);
  (row.cells as Record<string, Cell>)[column] = cell;
  return row;
}

interface RowName {
  schema: string;
  table: string;
  pk: unknown[];
}

function withCell(
  row: StoredRow | undefined,
  { schema, table, pk }: RowName,
  column: string,
  cell: Cell,
): StoredRow {
  const cells = cellsOf(row?.cells);
  cells[column] = cell;
  return { ...(row ?? { schema, table, pk }), cells };
}

/** V8 makes a slow hash table of an object without any prototype. */
const NOTHING: unknown = /* @__PURE__ */ Object.create(null);

/** Names come from outside, `__proto__` too. */
function cellsOf(cells: StoredRow['cells'] = {}): Record<string, Cell> {
  return Object.assign(Object.create(NOTHING as null), cells);
}

export function cellOf(row: StoredRow, column: string): Cell | undefined {
  return Object.hasOwn(row.cells, column) ? row.cells[column] : undefined;
}

/** One that may be changed in place. */
export function copyOf(row: StoredRow): StoredRow {
  return { ...row, cells: cellsOf(row.cells) };
}

function withoutRow(row: StoredRow | undefined, deletion: RowName & { hlc: HlcText }): StoredRow {
  const { schema, table, pk, hlc } = deletion;
  const cells = cellsOf();
  for (const [column, cell] of Object.entries(row?.cells ?? {})) {
    if (!deleteRemovesCell(hlc, cell[0], true)) cells[column] = cell;
  }
  return { ...(row ?? { schema, table, pk }), cells, tombstone: hlc };
}

/** What beats a change in a row, if anything does. */
export function winnerOver(
  row: StoredRow | undefined,
  change: Change,
): { hlc: HlcText; value?: unknown } | undefined {
  if (row === undefined) return undefined;
  const { tombstone } = row;
  if (tombstone !== undefined && compareHlc(tombstone, change.hlc) > 0) return { hlc: tombstone };
  const cell = change.type === 'column' ? cellOf(row, change.column) : undefined;
  if (cell === undefined || compareHlc(cell[0], change.hlc) <= 0) return undefined;
  return { hlc: cell[0], value: cell[1] };
}

/**
 * What is newer than a drop.
 * @param site of this site alone, if it is given
 * @returns `undefined` if that is nothing
 */
export function rowAbove(row: StoredRow, floor: HlcText, site?: SiteIdText): StoredRow | undefined {
  const isKept = (hlc: HlcText) =>
    compareHlc(hlc, floor) > 0 && (site === undefined || siteOf(hlc) === site);
  const cells = cellsOf();
  for (const [column, cell] of Object.entries(row.cells)) {
    if (isKept(cell[0])) cells[column] = cell;
  }
  const { tombstone } = row;
  const isDeleted = tombstone !== undefined && isKept(tombstone);
  if (!isDeleted && Object.keys(cells).length === 0) return undefined;
  return { ...row, cells, tombstone: isDeleted ? tombstone : undefined };
}

/** Merges what two names hold of one row, under the first one's. */
export function joinRows(
  row: StoredRow | undefined,
  other: StoredRow | undefined,
): StoredRow | undefined {
  if (row === undefined || other === undefined) return row ?? other;
  const { schema, table, pk } = row;
  let joined: StoredRow | undefined = row;
  for (const change of changesOf(other)) joined = merge(joined, { ...change, schema, table, pk });
  return joined;
}

/** What would make a row out of none. */
export function changesOf({ schema, table, pk, cells, tombstone }: StoredRow): Change[] {
  const changes: Change[] = [];
  if (tombstone !== undefined) changes.push({ type: 'delete', schema, table, pk, hlc: tombstone });
  for (const [column, [hlc, value]] of Object.entries(cells)) {
    changes.push({ type: 'column', schema, table, pk, column, value, hlc });
  }
  return changes;
}
