/**
 * What a simulation has to know of the records of the engine, and of its pages: all of it is here,
 * so that the rest of the simulation knows nothing but the protocol.
 */

import { compareHlc, HLC_MIN } from '../../src/clock/hlc.ts';
import { decodeRow, type Row } from '../../src/engine/records/row.ts';
import type { SyncManager } from '../../src/engine/sync-manager.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { pkIdentity } from '../../src/protocol/values.ts';
import type { KVReader } from '../../src/storage/kv-store.ts';
import type { KVChange } from '../../src/storage/ordered-map.ts';

/** The record of a table, as far as it is looked at. */
export interface StoredTable {
  schema: string;
  /** The name that it goes by, while it does. */
  table?: string;
  floor: string;
  made?: string;
  into?: number;
}

function isOfKind(key: Uint8Array, kind: string): boolean {
  return key[0] === kind.charCodeAt(0);
}

function fromJson<T>(value: Uint8Array): T {
  return JSON.parse(Buffer.from(value).toString());
}

/** If a table's record is put or deleted: which. */
export function storedTable([key, value]: KVChange) {
  if (!isOfKind(key, 't')) return undefined;
  const id = Buffer.from(key).readUInt32BE(1);
  return { id, record: value === undefined ? undefined : fromJson<StoredTable>(value) };
}

/** If a name's record is put, as it is when its table goes on under another one: the name. */
export function storedName([key, value]: KVChange): string | undefined {
  if (!isOfKind(key, 'n') || value === undefined) return undefined;
  return fromJson<{ table: string }>(value).table;
}

/** How many changes a record of the log holds; 0 for all other records. */
export function loggedChanges(key: Uint8Array, value: Uint8Array): number {
  if (!isOfKind(key, 'l')) return 0;
  return storedChangeSet(value).changes.length;
}

/** The change set in a record of the log. */
export function storedChangeSet(value: Uint8Array): WireChangeSet {
  return JSON.parse(Buffer.from(value).toString().split('\n')[1] ?? '');
}

/** Whether a record of the log is for one site alone. */
export function isForOne(value: Uint8Array): boolean {
  const [line = ''] = Buffer.from(value).toString().split('\n');
  return line.split('\t').length > 3;
}

async function* recordsOf(reader: KVReader, kind: string) {
  const range = { gte: Buffer.from(kind), lt: Buffer.of(kind.charCodeAt(0) + 1) };
  for await (const entries of reader.iterate(range)) yield* entries;
}

/**
 * Names of the tables that there are.
 * @param withUndeclared also of those that no DDL has made: rows came before it, or a rename did
 */
export async function liveTables(reader: KVReader, withUndeclared: boolean): Promise<string[]> {
  const names: string[] = [];
  for await (const [, value] of recordsOf(reader, 't')) {
    const { table, into, made, floor } = fromJson<StoredTable>(value);
    const isMade = made !== undefined && compareHlc(made, floor) >= 0;
    if (made === HLC_MIN && !withUndeclared) continue;
    if (table !== undefined && into === undefined && isMade) names.push(table);
  }
  return names.sort();
}

/** Another value once deletions, drops or renames have been forgotten that it did not tell of yet. */
export async function storedForgetting(reader: KVReader): Promise<string> {
  const [horizon, head] = await reader.getMany([Buffer.from('mhorizon'), Buffer.from('mhead')]);
  const { forgets = 0 } = head === undefined ? {} : fromJson<{ forgets?: number }>(head);
  return `${forgets} ${Buffer.from(horizon ?? []).toString()}`;
}

/** All rows of all tables, also of those that are gone and may come back, by their key. */
export async function storedRows(reader: KVReader): Promise<Map<string, Row[]>> {
  const rows = new Map<string, Row[]>();
  for await (const [, value] of recordsOf(reader, 'r')) {
    const pk = pkIdentity(JSON.parse(Buffer.from(value).toString().split('\n')[0] ?? ''));
    rows.set(pk, [...(rows.get(pk) ?? []), decodeRow(value)]);
  }
  return rows;
}

/** Everything after a position in the pages in which a reader gets it. */
export async function readPages(
  manager: SyncManager,
  sinceHLC: string | undefined,
  bytesMax: number,
): Promise<WireChangeSet[][]> {
  const pages: WireChangeSet[][] = [];
  let after = await manager.log.cursorFor(sinceHLC);
  for (;;) {
    const changeSets: WireChangeSet[] = [];
    const page = await manager.log.page({ after, bytesMax }, (json) => {
      changeSets.push(JSON.parse(Buffer.from(json).toString()));
    });
    pages.push(changeSets);
    after = page.end;
    if (!page.hasMore) return pages;
  }
}
