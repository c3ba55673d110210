/**
 * Reads single rows and whole tables as they are merged, for hooks and embedders, not for delivery.
 */

import { HLC_MAX } from '../../clock/hlc.ts';
import { pkIdentity } from '../../protocol/values.ts';
import type { KVEntry, KVReader, KVView } from '../../storage/kv-store.ts';
import { rowKey, tableRange } from '../records/keys.ts';
import { joined, letGoOfEach } from '../records/let-go.ts';
import { decodeRow, type Row } from '../records/row.ts';
import { RowReader, type RowsMemory } from '../records/row-reader.ts';
import { isLive, type TableRecord } from '../records/table-record.ts';
import type { CatalogView } from './catalog.ts';
import { bearerOf } from './table-names.ts';

/** A row with its values in JSON form. */
export interface WireRow {
  pk: unknown[];
  valuesByColumn: Map<string, unknown>;
}

/** A row is longer than there is memory for. It has not been decoded. */
export class LongRow extends Error {
  readonly bytes: number;

  constructor(bytes: number) {
    super(`a row of ${bytes} bytes is longer than there is memory for`);
    this.bytes = bytes;
  }
}

/** `undefined` for a row that is not there. */
export function toWireRow({ cells }: Row): WireRow | undefined {
  let pk: unknown[] | undefined;
  const valuesByColumn = new Map<string, unknown>();
  for (const [column, cell] of cells) {
    pk ??= JSON.parse(cell.pk);
    valuesByColumn.set(JSON.parse(column), JSON.parse(cell.value));
  }
  return pk === undefined ? undefined : { pk, valuesByColumn };
}

/**
 * The live table of a name. The former name of a renamed table leads to it until the name is used
 * again.
 */
export function readTable(
  catalog: CatalogView,
  schema: string,
  table: string,
): TableRecord | undefined {
  const bearer = bearerOf(catalog, schema, table, HLC_MAX);
  return typeof bearer !== 'string' && isLive(bearer) ? bearer : undefined;
}

interface Name {
  schema: string;
  table: string;
}

/** Whether two names mean one table. */
export function isOneTable(catalog: CatalogView, a: Name, b: Name): boolean {
  const found = readTable(catalog, a.schema, a.table);
  return found !== undefined && found.id === readTable(catalog, b.schema, b.table)?.id;
}

/**
 * @param pk in its JSON form
 * @throws LongRow if the row has more than `bytesMax` bytes
 */
export async function readRow(
  reader: KVReader,
  catalog: CatalogView,
  { schema, table, pk }: { schema: string; table: string; pk: readonly unknown[] },
  bytesMax: number,
): Promise<WireRow | undefined> {
  const found = readTable(catalog, schema, table);
  if (found === undefined) return undefined;
  const [bytes] = await reader.getMany([rowKey(found.id, pkIdentity(pk))]);
  if (bytes === undefined) return undefined;
  if (bytes.length > bytesMax) throw new LongRow(bytes.length);
  return toWireRow(decodeRow(bytes));
}

/**
 * Reads all rows of a table, and closes the view in any case.
 * @param open called when the first row is asked for
 */
export function readRows(
  open: () => Promise<{ view: KVView; catalog: CatalogView }>,
  table: { schema: string; table: string },
  memory: RowsMemory,
): AsyncIterable<WireRow> {
  return joined(rowParts(open, table, memory));
}

async function* rowParts(
  open: () => Promise<{ view: KVView; catalog: CatalogView }>,
  { schema, table }: { schema: string; table: string },
  memory: RowsMemory,
): AsyncGenerator<AsyncIterable<WireRow>, void, undefined> {
  const { view, catalog } = await open();
  try {
    const found = readTable(catalog, schema, table);
    if (found === undefined) return;
    yield letGoOfEach(new RowReader(view, memory).read(tableRange('r', found.id)), wireRowsOf);
  } finally {
    await view.close();
  }
}

function* wireRowsOf(entries: readonly KVEntry[]): Generator<WireRow> {
  for (const [, bytes] of entries) {
    const row = toWireRow(decodeRow(bytes));
    if (row !== undefined) yield row;
  }
}
