/**
 * A row's merged state, and the merge of a change into it by the protocol's rule.
 *
 * The record is text with one part a line. JSON never contains a raw tab or newline, so no part is
 * escaped or parsed on its way from a client to the store and back:
 *
 *   pk
 *   [tombstone hlc ⇥ position ⇥ priorRow or nothing ⇥ pk or nothing]; of an expired one the hlc only
 *   hlc ⇥ column ⇥ value [⇥ pk]          one line a cell
 *
 * Values, columns and keys are stored as JSON. A cell has its own spelling of the key if that
 * differs from the first line, since each change is sent with the spelling of its author.
 *
 * Invariant: no cell is older than the row's tombstone.
 */

import type { HlcText } from '../../clock/hlc.ts';
import {
  columnOutcome,
  deleteOutcome,
  deleteRemovesCell,
  type MergeOutcome,
} from '../../protocol/merge-rule.ts';
import { pkIdentity } from '../../protocol/values.ts';

export interface Cell {
  hlc: HlcText;
  /** JSON. */
  value: string;
  /** The change's own spelling of the key, JSON. */
  pk: string;
}

export interface Tombstone {
  hlc: HlcText;
  /**
   * The position of the deletion in the log; its wall time is that of the arrival. `undefined` once
   * it has expired: no client is sent it any more, and it only keeps older changes from bringing
   * the row back.
   */
  position: HlcText | undefined;
  /** JSON, or `undefined` if the deletion had none. */
  priorRow: string | undefined;
  /** JSON. */
  pk: string;
}

export interface Row {
  /** By the JSON of the column's name. */
  cells: Map<string, Cell>;
  tombstone: Tombstone | undefined;
}

export function isExpired(tombstone: Tombstone): boolean {
  return tombstone.position === undefined;
}

export function createRow(): Row {
  return { cells: new Map(), tombstone: undefined };
}

/**
 * The outcome that merging a cell would have.
 * @param allowResurrection whether a write newer than the tombstone brings the row back
 */
export function judgeCell(
  { cells, tombstone }: Row,
  column: string,
  hlc: HlcText,
  allowResurrection: boolean,
): MergeOutcome {
  const mayReturn = allowResurrection || (tombstone !== undefined && isExpired(tombstone));
  return columnOutcome(hlc, cells.get(column)?.hlc, tombstone?.hlc, mayReturn);
}

export function mergeCell(
  row: Row,
  column: string,
  cell: Cell,
  allowResurrection: boolean,
): MergeOutcome {
  const outcome = judgeCell(row, column, cell.hlc, allowResurrection);
  if (outcome === 'applied') row.cells.set(column, cell);
  return outcome;
}

/** The outcome that merging a tombstone would have. */
export function judgeTombstone({ tombstone }: Row, hlc: HlcText): MergeOutcome {
  return deleteOutcome(hlc, tombstone?.hlc);
}

export function mergeTombstone(
  row: Row,
  tombstone: Tombstone,
  allowResurrection: boolean,
): MergeOutcome {
  if (judgeTombstone(row, tombstone.hlc) === 'skipped') return 'skipped';
  row.tombstone = tombstone;
  for (const [column, cell] of row.cells) {
    const isRemoved = deleteRemovesCell(tombstone.hlc, cell.hlc, allowResurrection);
    if (isRemoved) row.cells.delete(column);
  }
  return 'applied';
}

export function encodeTombstone(tombstone: Tombstone): string {
  const { hlc, position, priorRow = '', pk } = tombstone;
  if (position === undefined) return hlc;
  return `${hlc}\t${position}\t${priorRow}\t${pk}`;
}

/** @param rowPk the spelling of the key if the text has none of its own */
export function decodeTombstone(text: string, rowPk = ''): Tombstone {
  const [hlc = '', position, priorRow = '', pk = ''] = text.split('\t');
  return { hlc, position, priorRow: priorRow === '' ? undefined : priorRow, pk: pk || rowPk };
}

/** `undefined` for a row with neither cells nor a tombstone, which is not stored. */
export function encodeRow(row: Row): string | undefined {
  const { cells, tombstone } = row;
  // Joined at the end: each step of a string that grows would be an object of its own.
  const parts: string[] = ['', '\n', ''];
  let rowPk: string | undefined;
  for (const [column, { hlc, value, pk }] of cells) {
    rowPk ??= pk;
    parts.push('\n', hlc, '\t', column, '\t', value);
    if (pk !== rowPk) parts.push('\t', pk);
  }
  if (tombstone !== undefined) {
    rowPk ??= tombstone.pk;
    parts[2] = encodeTombstone(tombstone.pk === rowPk ? { ...tombstone, pk: '' } : tombstone);
  }
  if (rowPk === undefined) return undefined;
  parts[0] = rowPk;
  return parts.join('');
}

export function decodeRow(bytes: Uint8Array): Row {
  const lines = bytesToText(bytes).split('\n');
  const rowPk = lines[0] ?? '';
  const tombstone = lines[1] ? decodeTombstone(lines[1], rowPk) : undefined;
  const cells = new Map<string, Cell>();
  for (let i = 2; i < lines.length; i++) {
    const line = lines[i] ?? '';
    const columnEnd = line.indexOf('\t', 41);
    const valueEnd = line.indexOf('\t', columnEnd + 1);
    cells.set(line.slice(41, columnEnd), {
      hlc: line.slice(0, 40),
      value: valueEnd < 0 ? line.slice(columnEnd + 1) : line.slice(columnEnd + 1, valueEnd),
      pk: valueEnd < 0 ? rowPk : line.slice(valueEnd + 1),
    });
  }
  return { cells, tombstone };
}

const TAB = 9;
const NEWLINE = 10;
const HLC_CHARS = 40;

/** Finds the ranges of the cells in the bytes of a row's record, without decoding it. */
export class CellScanner {
  #bytes: Uint8Array = new Uint8Array();
  #rowPkEnd = 0;
  #lineEnd = 0;
  hlcStart = 0;
  hlcEnd = 0;
  columnStart = 0;
  columnEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  pkStart = 0;
  pkEnd = 0;

  /** Begins before the first cell. */
  open(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#rowPkEnd = this.#find(NEWLINE, 0);
    this.#lineEnd = this.#find(NEWLINE, this.#rowPkEnd + 1);
  }

  /** Moves to the next cell. @returns whether there is one */
  next(): boolean {
    if (this.#lineEnd >= this.#bytes.length) return false;
    this.hlcStart = this.#lineEnd + 1;
    this.hlcEnd = this.hlcStart + HLC_CHARS;
    this.columnStart = this.hlcEnd + 1;
    this.columnEnd = this.#find(TAB, this.columnStart);
    this.valueStart = this.columnEnd + 1;
    this.#lineEnd = this.#find(NEWLINE, this.valueStart);
    const tab = this.#find(TAB, this.valueStart);
    const hasPk = tab < this.#lineEnd;
    this.valueEnd = hasPk ? tab : this.#lineEnd;
    this.pkStart = hasPk ? tab + 1 : 0;
    this.pkEnd = hasPk ? this.#lineEnd : this.#rowPkEnd;
    return true;
  }

  #find(byte: number, from: number): number {
    const at = this.#bytes.indexOf(byte, from);
    return at < 0 ? this.#bytes.length : at;
  }
}

export function bytesToText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}

/**
 * A store key may hold a hash instead of the identity, so that is computed from the row's primary
 * key.
 */
export function rowIdentity(row: Row): string {
  const [cell] = row.cells.values();
  return pkIdentity(JSON.parse(cell?.pk ?? row.tombstone?.pk ?? '[]'));
}
