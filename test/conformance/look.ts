/** Ways to look at what a server gave. */

import { decodeHlc } from '../../src/clock/hlc.ts';
import type { WireChange, WireChangeSet } from '../../src/protocol/schemas.ts';
import type { Chunk } from './transport.ts';

interface CellEntry {
  column: string;
  hlc: string;
  value: unknown;
  pk: unknown[];
}

interface TombstoneEntry {
  pk: unknown[];
  hlc: string;
  createdAt: number;
  priorRow?: unknown[];
}

function entriesOf<Entry>(chunks: readonly Chunk[], wanted: string) {
  return chunks
    .filter(({ type }) => type === wanted)
    .flatMap(({ schema, table, entries }) =>
      (entries as Entry[]).map((entry) => ({
        schema: String(schema),
        table: String(table),
        ...entry,
      })),
    );
}

/** A snapshot's cells, in its order. */
export function cellsIn(chunks: readonly Chunk[]) {
  return entriesOf<CellEntry>(chunks, 'column-versions');
}

export function tombstonesIn(chunks: readonly Chunk[]) {
  return entriesOf<TombstoneEntry>(chunks, 'tombstone');
}

/** A snapshot's cells as `table key column` and value, in one order. */
export function contentsOf(chunks: readonly Chunk[]): Record<string, unknown> {
  const pairs = cellsIn(chunks).map(
    ({ table, pk, column, value }) => [`${table} ${JSON.stringify(pk)} ${column}`, value] as const,
  );
  return Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Names of the tables that a snapshot has rows or tombstones of. */
export function tablesIn(chunks: readonly Chunk[]): string[] {
  const named = chunks.filter(({ type }) => type === 'table-start' || type === 'tombstone');
  return [...new Set(named.map(({ table }) => String(table)))];
}

export function changesIn(changeSets: readonly WireChangeSet[]): WireChange[] {
  return changeSets.flatMap(({ changes }) => changes);
}

export function transactionIds(changeSets: readonly WireChangeSet[]): string[] {
  return changeSets.map(({ transactionId }) => transactionId);
}

export function wallTimeMs(hlc: string): number {
  return Number(decodeHlc(hlc).wallTime);
}

/** The last of a list that must not be empty. */
export function last<T>(items: readonly T[]): T {
  const item = items.at(-1);
  if (item === undefined) throw new Error('nothing came');
  return item;
}
