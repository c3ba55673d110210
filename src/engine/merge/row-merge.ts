/**
 * Merges one change into its row: whether it takes effect, the row after it, and its entry in the
 * log.
 */

import { compareHlc } from '../../clock/hlc.ts';
import type { MergeOutcome } from '../../protocol/merge-rule.ts';
import type { WireChange, WireColumnChange, WireDeleteChange } from '../../protocol/schemas.ts';
import type { LogDraft, LogWriter } from '../log/log-writer.ts';
import type { JsonNames } from '../records/change-json.ts';
import {
  type Cell,
  isExpired,
  judgeCell,
  judgeTombstone,
  mergeCell,
  mergeTombstone,
  type Row,
  type Tombstone,
} from '../records/row.ts';
import type { LoadedRow } from '../records/row-set.ts';
import {
  cellSize,
  type RowLimits,
  refuseLongPriorRow,
  refuseRowGrowth,
} from '../records/row-size.ts';
import type { ChangeTarget } from '../tables/change-target.ts';
import {
  createWinningBytes,
  type Loss,
  LostCells,
  type Met,
  type WinningBytes,
} from './lost-cells.ts';

export interface RowMergeContext {
  rowLimits: RowLimits;
  allowResurrection: boolean;
}

export class RowMerge {
  readonly #context: RowMergeContext;
  readonly #names: JsonNames;
  readonly #log: Pick<LogWriter, 'noteReplaced'>;
  /** Of the group. */
  #winningBytes: WinningBytes | undefined;
  /** Of the batch that is being merged. */
  #lost: LostCells | undefined;

  constructor(context: RowMergeContext, names: JsonNames, log: Pick<LogWriter, 'noteReplaced'>) {
    this.#context = context;
    this.#names = names;
    this.#log = log;
  }

  /**
   * Merges a change, and adds it to the log. One for a dropped name is logged only when the name is
   * used again, after that DDL.
   * @throws SyncError TOO_LARGE
   */
  merge(
    change: WireChange,
    target: ChangeTarget,
    loaded: LoadedRow,
    draft: LogDraft,
  ): MergeOutcome {
    return change.type === 'delete'
      ? this.#mergeDelete(change, target, loaded, draft)
      : this.#mergeColumn(change, target, loaded, draft);
  }

  /** The next batch has an answer of its own. */
  endBatch(): void {
    this.#lost = undefined;
  }

  /** The outcome that a change would have. */
  judge(change: WireChange, { row }: LoadedRow): MergeOutcome {
    if (change.type === 'delete') return judgeTombstone(row, change.hlc);
    const { name } = this.#names.column(change.column);
    return judgeCell(row, name, change.hlc, this.#context.allowResurrection);
  }

  /** What a change of this row has lost against, with the cell if the answer is to name it. */
  lossOf(
    change: WireChange,
    outcome: Exclude<MergeOutcome, 'applied'> | 'foreign',
    target: ChangeTarget,
    loaded: LoadedRow,
  ): Loss {
    const { cell, deletion } = this.#winnerOf(change, loaded);
    const winner = cell ?? deletion;
    if (winner === undefined) return {};
    const met = metOf(change, target, winner, deletion !== undefined);
    if (winner.hlc === change.hlc) {
      const isOther =
        cell !== undefined &&
        change.type === 'column' &&
        cell.value !== JSON.stringify(change.value);
      return { by: change.hlc, met, ...(isOther && { lost: this.#lostCells.keep(cell) }) };
    }
    const by = copied(winner.hlc);
    // Of a dropped table nothing is told.
    const isTold = outcome === 'conflicts' && change.type === 'column' && target.isLive;
    return isTold ? { by, met, lost: this.#lostCells.note(change, target, cell) } : { by, met };
  }

  get #lostCells(): LostCells {
    this.#winningBytes ??= createWinningBytes();
    this.#lost ??= new LostCells(this.#names, this.#winningBytes);
    return this.#lost;
  }

  #winnerOf(
    change: WireChange,
    { row: { cells, tombstone } }: LoadedRow,
  ): { cell?: Cell; deletion?: Tombstone | undefined } {
    if (change.type === 'delete') return { deletion: tombstone };
    const stored = cells.get(this.#names.column(change.column).name);
    const isStored = stored !== undefined && compareHlc(change.hlc, stored.hlc) <= 0;
    return isStored ? { cell: stored } : { deletion: tombstone };
  }

  #mergeColumn(
    change: WireColumnChange,
    { isLive, pk, json }: ChangeTarget,
    loaded: LoadedRow,
    { changes }: LogDraft,
  ): MergeOutcome {
    const { hlc } = change;
    const { row } = loaded;
    const { name, member } = this.#names.column(change.column);
    const value = JSON.stringify(change.value);
    const cellsBefore = row.cells.size;
    const cell = { hlc, value, pk };
    const sizeBefore = cellSize(row, name, row.cells.get(name));
    const outcome = mergeCell(row, name, cell, this.#context.allowResurrection);
    if (outcome !== 'applied') return outcome;
    const columns = row.cells.size - cellsBefore;
    const grown = cellSize(row, name, cell) - sizeBefore;
    loaded.size += grown;
    refuseRowGrowth(row, loaded.size, grown, columns, this.#context.rowLimits, change);
    this.#log.noteReplaced(1 - columns);
    if (isLive) changes.addColumn(json, change, member, value);
    return outcome;
  }

  #mergeDelete(
    change: WireDeleteChange,
    { isLive, pk, json }: ChangeTarget,
    loaded: LoadedRow,
    { changes, position }: LogDraft,
  ): MergeOutcome {
    const { hlc } = change;
    const { row } = loaded;
    const priorRow = change.priorRow && JSON.stringify(change.priorRow);
    const heldBefore = countHeld(row);
    const tombstone = { hlc, position, priorRow, pk };
    const outcome = mergeTombstone(row, tombstone, this.#context.allowResurrection);
    if (outcome !== 'applied') return outcome;
    refuseLongPriorRow(priorRow, loaded.size, this.#context.rowLimits, () => {
      return `${change.schema}.${change.table}: priorRow`;
    });
    loaded.size = 0;
    for (const [column, cell] of row.cells) loaded.size += cellSize(row, column, cell);
    this.#log.noteReplaced(1 + heldBefore - countHeld(row));
    if (isLive) changes.addDelete(json, hlc, priorRow);
    return outcome;
  }
}

/** The number of logged changes that make up the row. */
function countHeld({ cells, tombstone }: Row): number {
  return cells.size + (tombstone === undefined || isExpired(tombstone) ? 0 : 1);
}

const DELETION: Met = { isDeletion: true };

function metOf(
  { type, table: said }: WireChange,
  { table: { table = said }, pk }: ChangeTarget,
  winner: Cell | Tombstone,
  isDeletion: boolean,
): Met | undefined {
  const isOther = isDeletion && type === 'column';
  if (table === said && winner.pk === pk) return isOther ? DELETION : undefined;
  const met: Met = isOther ? { isDeletion: true } : {};
  if (table !== said) met.table = table;
  if (winner.pk !== pk) met.pk = copied(winner.pk);
  return met;
}

/** The text of a row's HLC or key is a part of that of the whole row, which would be kept along with it. */
function copied(text: string): string {
  return Buffer.from(text).toString();
}
