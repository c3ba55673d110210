/**
 * Notes which cells a batch has lost, and to which value, for its answer. The merge has read the
 * winners anyway; what is kept of them is bounded in number and bytes, and copied, since their texts
 * are parts of whole rows.
 */

import type { HlcText } from '../../clock/hlc.ts';
import type { WireChange, WireColumnChange, WireMigration } from '../../protocol/schemas.ts';
import type { JsonNames } from '../records/change-json.ts';
import type { Cell } from '../records/row.ts';
import type { CatalogView } from '../tables/catalog.ts';
import type { ChangeTarget } from '../tables/change-target.ts';
import { voidedBy } from '../tables/table-names.ts';

/** Most cells that one answer names. */
export const CONFLICTING_CELLS_MAX = 1000;
/** Most bytes of JSON in one answer for them, about. */
export const CONFLICTING_BYTES_MAX = 256 * 1024;
/** Most bytes of values among these. */
export const WINNING_BYTES_MAX = 64 * 1024;
/** A longer value is not told. */
export const WINNING_VALUE_BYTES_MAX = 16 * 1024;
/** Bytes of values that one group of batches keeps until it has been answered. */
const GROUP_WINNING_BYTES_MAX = 4 * 1024 * 1024;
/** An HLC, the names of the members, and the syntax. */
const ENTRY_BYTES = 120;

/** A cell that is told, with what has won there. */
export interface LostCell {
  /** JSON; `undefined` if it is not told. */
  value: string | undefined;
}

/** What a change has met, as far as it is stored otherwise than the change says. */
export interface Met {
  /** The present name of the table. */
  table?: string;
  /** The key as it is spelled there, JSON. */
  pk?: string;
  /** It is a deletion, and the change is none. */
  isDeletion?: true;
}

/** Why an item took no effect. */
export interface Loss {
  /** The HLC of what it lost against. Its own HLC means that it was stored already. */
  by?: HlcText | undefined;
  /** For a cell that the answer names, or that has another value under the HLC of the change. */
  lost?: LostCell | undefined;
  met?: Met | undefined;
  /** Whether its table was dropped, or its name given to another one: `by` is not of its row. */
  isVoid?: boolean;
  /** Of DDL: what was in its slot, where that is newer or says the same. */
  standing?: WireMigration | undefined;
}

/** That of a change whose table was dropped. */
export function voidLossOf(catalog: CatalogView, { schema, table, hlc }: WireChange): Loss {
  return { by: voidedBy(catalog, schema, table, hlc), isVoid: true };
}

/** The bytes of values that may still be kept for a group of batches. */
export interface WinningBytes {
  left: number;
}

export function createWinningBytes(): WinningBytes {
  return { left: GROUP_WINNING_BYTES_MAX };
}

/** For one batch. */
export class LostCells {
  readonly #names: JsonNames;
  readonly #group: WinningBytes;
  /** A cell that loses several times against one value is told once. */
  readonly #winners = new Set<Cell>();
  #bytesLeft = CONFLICTING_BYTES_MAX;
  #valueBytesLeft = WINNING_BYTES_MAX;

  constructor(names: JsonNames, group: WinningBytes) {
    this.#names = names;
    this.#group = group;
  }

  /** @returns `undefined` if the answer does not name the cell */
  note(
    change: WireColumnChange,
    { json }: ChangeTarget,
    winner: Cell | undefined,
  ): LostCell | undefined {
    if (winner === undefined || this.#winners.size === CONFLICTING_CELLS_MAX) return undefined;
    if (this.#winners.has(winner)) return undefined;
    const column = this.#names.column(change.column).name;
    const bytes = ENTRY_BYTES + Buffer.byteLength(json) + Buffer.byteLength(column);
    if (bytes > this.#bytesLeft) return undefined;
    this.#bytesLeft -= bytes;
    this.#winners.add(winner);
    return { value: this.#keep(winner.value) };
  }

  /** Of a cell that the answer does not name, but of which a filter is asked. */
  keep({ value }: Cell): LostCell {
    return { value: this.#keep(value) };
  }

  #keep(value: string): string | undefined {
    if (value.length > WINNING_VALUE_BYTES_MAX) return undefined;
    const bytes = Buffer.byteLength(value);
    const left = Math.min(this.#bytesLeft, this.#valueBytesLeft, this.#group.left);
    if (bytes > Math.min(left, WINNING_VALUE_BYTES_MAX)) return undefined;
    this.#bytesLeft -= bytes;
    this.#valueBytesLeft -= bytes;
    this.#group.left -= bytes;
    return Buffer.from(value).toString();
  }
}
