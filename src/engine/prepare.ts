/**
 * A change set made ready to be merged: JSON of each piece made once, for the row and
 * for the log alike, and keys worked out, before anything is read.
 */

import type { HlcText } from '../clock/hlc.ts';
import { maxHlc } from '../clock/hlc.ts';
import type { WireChange, WireChangeSet } from '../wire/schemas.ts';
import { pkIdentity } from '../wire/values.ts';

export interface PreparedChange {
  change: WireChange;
  /** JSON of the change, as it goes into the log. */
  json: string;
  /** JSON of the column's name; empty for a delete. */
  column: string;
  /** JSON of the value; for a delete of `priorRow`, if it has one. */
  value: string | undefined;
  pk: string;
  identity: string;
}

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

/** The cells of one row follow each other: its key is worked out once. */
class PkTexts {
  #last: readonly unknown[] = [];
  pk = '[]';
  identity = '';

  use(pk: readonly unknown[]): void {
    const last = this.#last;
    const same =
      pk.length === last.length &&
      pk.every((value, i) => value === last[i] && (typeof value !== 'object' || value === null));
    // -0 and 0 are the same key but not the same text; -0 leaves as JSON's 0 anyway.
    if (same) return;
    this.#last = pk;
    this.pk = JSON.stringify(pk);
    this.identity = pkIdentity(pk);
  }
}

/** Pieces of a change, each as JSON; those that it doesn't have are `undefined`. */
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
  prior = '',
): string {
  return `{"type":"column","schema":${schema},"table":${table},"pk":${pk},"hlc":"${hlc}","column":${column},"value":${value}${prior}}`;
}

export function deleteChangeJson(
  { schema, table, pk, hlc }: ChangePieces,
  priorRow: string | undefined,
): string {
  const prior = priorRow === undefined ? '' : `,"priorRow":${priorRow}`;
  return `{"type":"delete","schema":${schema},"table":${table},"pk":${pk},"hlc":"${hlc}"${prior}}`;
}

export function prepareChanges(changeSet: WireChangeSet, names: JsonNames): PreparedChange[] {
  const pkTexts = new PkTexts();
  return changeSet.changes.map((change) => {
    pkTexts.use(change.pk);
    const { pk, identity } = pkTexts;
    const schema = names.json(change.schema);
    const table = names.json(change.table);
    const pieces = { schema, table, pk, hlc: change.hlc };
    if (change.type === 'delete') {
      const value = change.priorRow === undefined ? undefined : JSON.stringify(change.priorRow);
      return { change, json: deleteChangeJson(pieces, value), column: '', value, pk, identity };
    }
    const column = names.json(change.column);
    const value = JSON.stringify(change.value);
    const prior =
      change.priorHlc === undefined
        ? ''
        : `,"priorValue":${JSON.stringify(change.priorValue)},"priorHlc":"${change.priorHlc}"`;
    const json = columnChangeJson(pieces, column, value, prior);
    return { change, json, column, value, pk, identity };
  });
}

/** The greatest HLC anywhere in a batch; `undefined` for an empty one. */
export function newestHlc(changeSets: readonly WireChangeSet[]): HlcText | undefined {
  let newest: HlcText | undefined;
  for (const { hlc, changes, schemaMigrations } of changeSets) {
    newest = newest === undefined ? hlc : maxHlc(newest, hlc);
    for (const migration of schemaMigrations) newest = maxHlc(newest, migration.hlc);
    for (const change of changes) newest = maxHlc(newest, change.hlc);
  }
  return newest;
}
