/**
 * Converts a database's records to lines of an export and back to the same entries, byte for byte.
 * A line has once what a record has twice, or in both key and value.
 */

import type { HlcText } from '../../clock/hlc.ts';
import { siteIdToText } from '../../clock/site-id.ts';
import { authorsOf, decodeStoredRecord, encodeLogRecord } from '../../engine/log/log-record.ts';
import { decodeCount } from '../../engine/records/cell-counts.ts';
import {
  countKey,
  ddlKey,
  floorKey,
  floorKeyToListed,
  heldKey,
  logKey,
  logKeyToPosition,
  metaKey,
  migrationKey,
  nameKey,
  rowKey,
  siteKey,
  tableKey,
  tombstoneKey,
} from '../../engine/records/keys.ts';
import {
  bytesToText,
  decodeRow,
  encodeRow,
  type Row,
  type Tombstone,
} from '../../engine/records/row.ts';
import { decodeListedTombstone, encodeListedTombstone } from '../../engine/records/row-set.ts';
import {
  nameToJson,
  slotKeyOf,
  slotToJson,
  tableToJson,
} from '../../engine/records/table-record.ts';
import { pkIdentity } from '../../protocol/values.ts';
import type { KVEntry } from '../../storage/kv-store.ts';
import type { ExportLine, LineOf } from './line-schemas.ts';

/** The line of a record, by the first byte of its key; not checked yet. */
const LINES_BY_KIND: Readonly<Record<string, (key: Buffer, value: Uint8Array) => unknown>> = {
  c: (key, value) => ({ type: 'count', table: key.readUInt32BE(1), cells: decodeCount(value) }),
  d: (key, value) => {
    const { hlc, position, priorRow, pk, isDead } = decodeListedTombstone(value);
    const livesAgain = isDead ? undefined : true;
    const fields = { pk: parseText(pk), hlc, position, priorRow: parseText(priorRow), livesAgain };
    return { type: 'deletion', table: key.readUInt32BE(1), ...fields };
  },
  e: (key) => ({ type: 'ddl', position: logKeyToPosition(key) }),
  f: (key) => ({ type: 'floor', ...floorKeyToListed(key) }),
  g: (_key, value) => ({ type: 'migration', migration: parse(value) }),
  h: (key, value) => ({ type: 'held', table: key.readUInt32BE(1), held: parse(value) }),
  l: (_key, value) => {
    const { tables, to, json } = decodeStoredRecord(value);
    return { type: 'transaction', tables, to, changeSet: parse(json) };
  },
  m: (key, value) => {
    const name = key.toString('utf8', 1);
    return { type: 'meta', name, value: name === 'head' ? parse(value) : bytesToText(value) };
  },
  n: (_key, value) => ({ type: 'name', name: parse(value) }),
  r: (key, value) => ({ type: 'row', table: key.readUInt32BE(1), ...rowFields(decodeRow(value)) }),
  s: (key, value) => ({ type: 'site', site: siteIdToText(key.subarray(1)), state: parse(value) }),
  t: (_key, value) => ({ type: 'table', table: parse(value) }),
};

export function entryToLine([bytes, value]: KVEntry): unknown {
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return LINES_BY_KIND[key.toString('latin1', 0, 1)]?.(key, value);
}

export function lineToEntry(line: ExportLine): KVEntry {
  switch (line.type) {
    case 'count':
      return [countKey(line.table), Buffer.from(String(line.cells))];
    case 'ddl':
      return [ddlKey(line.position), Buffer.alloc(0)];
    case 'deletion':
      return deletionToEntry(line);
    case 'floor':
      return [floorKey(line.hlc, line.site), Buffer.alloc(0)];
    case 'held':
      return [heldKey(line.table, pkIdentity(line.held.pk)), toJson(line.held)];
    case 'migration':
      return [migrationKey(slotKeyOf(line.migration)), Buffer.from(slotToJson(line.migration))];
    case 'name':
      return [nameKey(line.name.schema, line.name.table), Buffer.from(nameToJson(line.name))];
    case 'transaction':
      return transactionToEntry(line);
    case 'meta':
      return [
        metaKey(line.name),
        line.name === 'head' ? toJson(line.value) : Buffer.from(line.value),
      ];
    case 'row':
      return rowToEntry(line);
    case 'site':
      return [siteKey(line.site), toJson(line.state)];
    case 'table':
      return [tableKey(line.table.id), Buffer.from(tableToJson(line.table))];
  }
}

function deletionToEntry(line: LineOf<'deletion'>): KVEntry {
  const { table, hlc, position, pk, priorRow, livesAgain = false } = line;
  const tombstone = { hlc, position, pk: JSON.stringify(pk), priorRow: textOf(priorRow) };
  return [tombstoneKey(table, pkIdentity(pk)), encodeListedTombstone(tombstone, !livesAgain)];
}

function transactionToEntry({ changeSet, tables, to }: LineOf<'transaction'>): KVEntry {
  const { hlc: position, changes, schemaMigrations = [] } = changeSet;
  const hlcs = [...changes, ...schemaMigrations].map(({ hlc }) => hlc);
  const json = JSON.stringify(changeSet);
  const authors = authorsOf(hlcs);
  const record = encodeLogRecord({ authors, changeCount: hlcs.length, tables, to, json });
  return [logKey(position), record];
}

function rowFields({ cells, tombstone }: Row) {
  const [first = tombstone] = cells.values();
  const rowPk = first?.pk;
  const ownPk = (pk: string) => (pk === rowPk ? undefined : parseText(pk));
  return {
    pk: parseText(rowPk),
    deletion: tombstone && {
      hlc: tombstone.hlc,
      position: tombstone.position,
      priorRow: parseText(tombstone.priorRow),
      pk: ownPk(tombstone.pk),
    },
    cells: [...cells].map(([column, { hlc, value, pk }]) => ({
      ...{ column: parseText(column), hlc, value: parseText(value), pk: ownPk(pk) },
    })),
  };
}

function rowToEntry({ table, pk, deletion, cells }: LineOf<'row'>): KVEntry {
  const rowPk = JSON.stringify(pk);
  const row: Row = { cells: new Map(), tombstone: deletion && toTombstone(deletion, rowPk) };
  for (const { column, hlc, value, pk: own } of cells) {
    const cell = { hlc, value: JSON.stringify(value), pk: textOf(own) ?? rowPk };
    row.cells.set(JSON.stringify(column), cell);
  }
  return [rowKey(table, pkIdentity(pk)), Buffer.from(encodeRow(row) ?? '')];
}

interface DeletionFields {
  hlc: HlcText;
  position?: HlcText;
  priorRow?: unknown[];
  pk?: unknown[];
}

function toTombstone({ hlc, position, priorRow, pk }: DeletionFields, rowPk: string): Tombstone {
  return { hlc, position, priorRow: textOf(priorRow), pk: textOf(pk) ?? rowPk };
}

function parse(bytes: Uint8Array): unknown {
  return JSON.parse(bytesToText(bytes));
}

function parseText(text: string | undefined): unknown {
  return text === undefined ? undefined : JSON.parse(text);
}

function textOf(value: unknown[] | undefined): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value);
}

function toJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
