/** The JSON that changes travel and are logged as, put together from pieces that are JSON already. */

import type { HlcText } from '../clock/hlc.ts';
import type { WireColumnChange } from '../wire/schemas.ts';

/** Names repeat from change to change: their JSON is made once. */
export class JsonNames {
  readonly #jsonByName = new Map<string, string>();

  json(name: string): string {
    let json = this.#jsonByName.get(name);
    if (json === undefined) {
      json = JSON.stringify(name);
      this.#jsonByName.set(name, json);
    }
    return json;
  }
}

type WrittenCell = Pick<WireColumnChange, 'hlc' | 'priorValue' | 'priorHlc'>;

/** What the JSON of all changes of one row has in common, up to their HLC; made of JSON. */
export function changedRowJson(schema: string, table: string, pk: string): string {
  // Joined it is flat, as it wouldn't be if it were added up, and is put into each change as a whole.
  return ['"schema":', schema, ',"table":', table, ',"pk":', pk, ',"hlc":"'].join('');
}

/**
 * Several changes, one after the other. JSON.stringify takes four times as long, since the values
 * are JSON already.
 */
export class ChangeListJson {
  #text = '';
  #length = 0;

  /** How many there are. */
  get length(): number {
    return this.#length;
  }

  /**
   * @param row see `changedRowJson`
   * @param change with what the value was before, if it says so
   * @param column JSON, like `value`
   */
  addColumn(row: string, change: WrittenCell, column: string, value: string): void {
    const { hlc, priorHlc } = change;
    this.#text += `${this.#begin()}{"type":"column",${row}${hlc}","column":${column},"value":${value}`;
    if (priorHlc !== undefined) {
      const prior = JSON.stringify(change.priorValue);
      this.#text += `,"priorValue":${prior},"priorHlc":"${priorHlc}"`;
    }
    this.#text += '}';
  }

  /** @param priorRow JSON, or `undefined` for none */
  addDelete(row: string, hlc: HlcText, priorRow: string | undefined): void {
    this.#text += `${this.#begin()}{"type":"delete",${row}${hlc}"`;
    if (priorRow !== undefined) this.#text += `,"priorRow":${priorRow}`;
    this.#text += '}';
  }

  #begin(): string {
    return this.#length++ === 0 ? '' : ',';
  }

  toString(): string {
    return this.#text;
  }
}
