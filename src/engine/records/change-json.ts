/** The JSON that changes travel and are logged as, put together from pieces that are JSON already. */

import type { HlcText } from '../../clock/hlc.ts';
import type { WireColumnChange } from '../../protocol/schemas.ts';

/** The name of a column. */
export interface ColumnJson {
  /** The name itself. */
  name: string;
  /** What stands between a change's HLC and its value. */
  member: string;
}

/** Names repeat from change to change: their JSON is made once. */
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

/** What the JSON of all changes of one row has in common, up to their HLC; made of JSON. */
export function changedRowJson(schema: string, table: string, pk: string): string {
  // Joined it is flat, as it wouldn't be if it were added up, and is one piece of each change.
  return ['"schema":', schema, ',"table":', table, ',"pk":', pk, ',"hlc":"'].join('');
}

const PIECE_CHARS = 256 * 1024;

/** How a change begins, the first one of a list and the others, which close the one before. */
const COLUMN = { first: '{"type":"column",', next: '},{"type":"column",' };
const DELETE = { first: '{"type":"delete",', next: '},{"type":"delete",' };

/**
 * Several changes, one after the other. JSON.stringify takes four times as long, since the values
 * are JSON already. Each piece that is added to a string is 32 bytes of garbage, so they are few.
 */
export class ChangeListJson {
  #text = '';
  /** What was text before: to put a long one together at the end would take its time. */
  readonly #pieces: Buffer[] = [];
  #length = 0;
  /** Of the change that was added last, about. */
  lastBytes = 0;

  /** How many there are. */
  get length(): number {
    return this.#length;
  }

  /**
   * @param row see `changedRowJson`
   * @param change with what the value was before, if it says so
   * @param member see `ColumnJson`
   * @param value JSON
   */
  addColumn(row: string, change: WrittenCell, member: string, value: string): void {
    const { hlc, priorHlc } = change;
    const before = this.#text.length;
    this.#text += this.#begin(COLUMN) + row + hlc + member + value;
    if (priorHlc !== undefined) {
      const prior = JSON.stringify(change.priorValue);
      this.#text += `,"priorValue":${prior},"priorHlc":"${priorHlc}"`;
    }
    this.#added(before);
  }

  /** @param priorRow JSON, or `undefined` for none */
  addDelete(row: string, hlc: HlcText, priorRow: string | undefined): void {
    const before = this.#text.length;
    this.#text += `${this.#begin(DELETE)}${row}${hlc}"`;
    if (priorRow !== undefined) this.#text += `,"priorRow":${priorRow}`;
    this.#added(before);
  }

  #added(before: number): void {
    this.lastBytes = this.#text.length - before;
    if (this.#text.length < PIECE_CHARS) return;
    this.#pieces.push(Buffer.from(this.#text));
    this.#text = '';
  }

  #begin({ first, next }: typeof COLUMN): string {
    return this.#length++ === 0 ? first : next;
  }

  /** Text around JSON of the changes, with commas between them. */
  between(before: string, after: string): Buffer {
    const rest = this.#length === 0 ? after : `${this.#text}}${after}`;
    if (this.#pieces.length === 0) return Buffer.from(before + rest);
    return Buffer.concat([Buffer.from(before), ...this.#pieces, Buffer.from(rest)]);
  }
}
