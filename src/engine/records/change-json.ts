/** Builds the JSON in which changes are logged and sent, from pieces that are JSON already. */

import type { HlcText } from '../../clock/hlc.ts';
import type { WireColumnChange } from '../../protocol/schemas.ts';

/** JSON of the name of a column. */
export interface ColumnJson {
  /** The name alone. */
  name: string;
  /** The text between the HLC and the value of a change. */
  member: string;
}

/** Makes the JSON of each name once, since names repeat from change to change. */
export class JsonNames {
  readonly #jsonByName = new Map<string, string>();
  readonly #columnByName = new Map<string, ColumnJson>();

  json(name: string): string {
    let json = this.#jsonByName.get(name);
    if (json === undefined) {
      json = JSON.stringify(name);
      this.#jsonByName.set(name, json);
    }
    return json;
  }

  column(name: string): ColumnJson {
    let column = this.#columnByName.get(name);
    if (column === undefined) {
      const json = JSON.stringify(name);
      column = { name: json, member: columnMember(json) };
      this.#columnByName.set(name, column);
    }
    return column;
  }
}

/** @param name JSON */
export function columnMember(name: string): string {
  return ['","column":', name, ',"value":'].join('');
}

type WrittenCell = Pick<WireColumnChange, 'hlc' | 'priorValue' | 'priorHlc'>;

/**
 * The part of a change's JSON, up to its HLC, that all changes of one row share.
 * @param schema JSON, like the others
 */
export function changedRowJson(schema: string, table: string, pk: string): string {
  // `join` makes a flat string, unlike `+`: it is one piece of each change.
  return ['"schema":', schema, ',"table":', table, ',"pk":', pk, ',"hlc":"'].join('');
}

const PIECE_CHARS = 256 * 1024;

/**
 * The beginning of a change: of the first one of a list, and of later ones, which close the one
 * before.
 */
const COLUMN = { first: '{"type":"column",', next: '},{"type":"column",' };
const DELETE = { first: '{"type":"delete",', next: '},{"type":"delete",' };

/**
 * The JSON of a list of changes. JSON.stringify would take four times as long, since the values are
 * JSON already. The text is joined when it is encoded: adding to a string costs 32 bytes of garbage a
 * piece.
 */
export class ChangeListJson {
  #parts: string[] = [];
  /** The characters in `#parts`. */
  #chars = 0;
  /** Finished parts of the text: encoding all of a long one at the end would block for too long. */
  readonly #pieces: Buffer[] = [];
  #length = 0;
  /** The approximate size of the change that was added last. */
  lastBytes = 0;

  /** The number of changes. */
  get length(): number {
    return this.#length;
  }

  /**
   * @param row see `changedRowJson`
   * @param change may have the prior value with its HLC
   * @param member see `ColumnJson`
   * @param value JSON
   */
  addColumn(row: string, change: WrittenCell, member: string, value: string): void {
    const { hlc, priorHlc } = change;
    const begin = this.#begin(COLUMN);
    this.#parts.push(begin, row, hlc, member, value);
    let chars = begin.length + row.length + hlc.length + member.length + value.length;
    if (priorHlc !== undefined) {
      const prior = `,"priorValue":${JSON.stringify(change.priorValue)},"priorHlc":"${priorHlc}"`;
      this.#parts.push(prior);
      chars += prior.length;
    }
    this.#added(chars);
  }

  /** @param priorRow JSON, or `undefined` for none */
  addDelete(row: string, hlc: HlcText, priorRow: string | undefined): void {
    const prior = priorRow === undefined ? '' : `,"priorRow":${priorRow}`;
    const text = `${this.#begin(DELETE)}${row}${hlc}"${prior}`;
    this.#parts.push(text);
    this.#added(text.length);
  }

  #added(chars: number): void {
    this.lastBytes = chars;
    this.#chars += chars;
    if (this.#chars < PIECE_CHARS) return;
    this.#pieces.push(Buffer.from(this.#parts.join('')));
    this.#parts = [];
    this.#chars = 0;
  }

  #begin({ first, next }: typeof COLUMN): string {
    return this.#length++ === 0 ? first : next;
  }

  /** The JSON of the changes, with commas between them and text around them. Nothing may be added afterwards. */
  between(before: string, after: string): Buffer {
    const end = this.#length === 0 ? after : `}${after}`;
    // Joined at once: text around a text that is joined already would make V8 copy all of it again.
    if (this.#pieces.length === 0) {
      this.#parts[0] = before + (this.#parts[0] ?? '');
      this.#parts.push(end);
      return Buffer.from(this.#parts.join(''));
    }
    const rest = this.#parts.join('') + end;
    return Buffer.concat([Buffer.from(before), ...this.#pieces, Buffer.from(rest)]);
  }
}
