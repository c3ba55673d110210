/** The JSON that changes travel and are logged as, put together from pieces that are JSON already. */

import type { HlcText } from '../clock/hlc.ts';

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

/** Pieces of a change, each as JSON. */
interface ChangePieces {
  schema: string;
  table: string;
  pk: string;
  hlc: HlcText;
}

export function columnChangeJson(
  { schema, table, pk, hlc }: ChangePieces,
  column: string,
  value: string,
): string {
  return `{"type":"column","schema":${schema},"table":${table},"pk":${pk},"hlc":"${hlc}","column":${column},"value":${value}}`;
}

export function deleteChangeJson(
  { schema, table, pk, hlc }: ChangePieces,
  priorRow: string | undefined,
): string {
  const prior = priorRow === undefined ? '' : `,"priorRow":${priorRow}`;
  return `{"type":"delete","schema":${schema},"table":${table},"pk":${pk},"hlc":"${hlc}"${prior}}`;
}
