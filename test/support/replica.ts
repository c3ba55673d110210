/** A simple replica in memory: merges change sets by the protocol's rules. */

import { compareHlc } from '../../src/clock/hlc.ts';
import type { WireChange, WireChangeSet } from '../../src/protocol/schemas.ts';
import { pkIdentity } from '../../src/protocol/values.ts';

interface ReplicaRow {
  schema: string;
  table: string;
  pk: unknown[];
  tombstone?: string;
  cells: Map<string, { hlc: string; value: unknown }>;
}

/** A chunk of a snapshot with cells or tombstones. */
interface SnapshotTableChunk {
  type: string;
  schema: string;
  table: string;
  entries: { pk: unknown[]; hlc: string; column?: string; value?: unknown }[];
}

function rowKeyOf({ schema, table, pk }: WireChange): string {
  return JSON.stringify([schema, table, pkIdentity(pk)]);
}

export class Replica {
  readonly #rows = new Map<string, ReplicaRow>();

  apply(changeSets: Iterable<WireChangeSet>): void {
    for (const { changes } of changeSets) for (const change of changes) this.#merge(change);
  }

  #merge(change: WireChange): void {
    const key = rowKeyOf(change);
    const { schema, table, pk } = change;
    const row: ReplicaRow = this.#rows.get(key) ?? { schema, table, pk, cells: new Map() };
    this.#rows.set(key, row);
    if (change.type === 'delete') {
      if (row.tombstone !== undefined && compareHlc(change.hlc, row.tombstone) <= 0) return;
      row.tombstone = change.hlc;
      for (const [column, cell] of row.cells) {
        if (compareHlc(cell.hlc, change.hlc) <= 0) row.cells.delete(column);
      }
      return;
    }
    const { column, value, hlc } = change;
    const known = row.cells.get(column);
    if (known !== undefined && compareHlc(hlc, known.hlc) <= 0) return;
    if (row.tombstone !== undefined && compareHlc(hlc, row.tombstone) <= 0) return;
    row.cells.set(column, { hlc, value });
  }

  /** Whether a change has been merged, or would lose against what has. */
  knows(change: WireChange): boolean {
    const row = this.#rows.get(rowKeyOf(change));
    if (row === undefined) return false;
    const { tombstone } = row;
    if (tombstone !== undefined && compareHlc(tombstone, change.hlc) >= 0) return true;
    const cell = change.type === 'column' ? row.cells.get(change.column) : undefined;
    return cell !== undefined && compareHlc(cell.hlc, change.hlc) >= 0;
  }

  /** Whether the row was deleted no earlier than `change`. */
  isDeletedAfter(change: WireChange): boolean {
    const tombstone = this.#rows.get(rowKeyOf(change))?.tombstone;
    return tombstone !== undefined && compareHlc(tombstone, change.hlc) >= 0;
  }

  /** Whether the row holds a cell that is no newer than `change`. */
  holdsOlder(change: WireChange): boolean {
    const cells = this.#rows.get(rowKeyOf(change))?.cells.values() ?? [];
    return [...cells].some(({ hlc }) => compareHlc(hlc, change.hlc) <= 0);
  }

  /** Removes what is older than the drop, with tombstones. */
  dropTable(table: string, hlc: string): void {
    for (const [key, row] of this.#rows) {
      if (JSON.parse(key)[1] !== table) continue;
      if (row.tombstone !== undefined && compareHlc(row.tombstone, hlc) < 0) delete row.tombstone;
      for (const [column, cell] of row.cells) {
        if (compareHlc(cell.hlc, hlc) < 0) row.cells.delete(column);
      }
    }
  }

  /** What an application would read: the values of rows with cells, in a fixed order. */
  contents(): Record<string, Record<string, unknown>> {
    const rows = [...this.#rows].filter(([, row]) => row.cells.size > 0);
    return Object.fromEntries(
      rows
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, { cells }]) => [
          key,
          Object.fromEntries(
            [...cells].sort(([a], [b]) => (a < b ? -1 : 1)).map(([c, { value }]) => [c, value]),
          ),
        ]),
    );
  }

  /** The rows of one table, by their primary keys. */
  rows(schema: string, table: string): [pk: unknown[], values: Record<string, unknown>][] {
    return [...this.#rows.values()]
      .filter((row) => row.schema === schema && row.table === table && row.cells.size > 0)
      .map(({ pk, cells }): [unknown[], Record<string, unknown>] => [
        pk,
        Object.fromEntries([...cells].map(([column, { value }]) => [column, value])),
      ])
      .sort(([a], [b]) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  }

  /** Keys of deleted rows. */
  tombstones(): string[] {
    return [...this.#rows]
      .filter(([, { tombstone, cells }]) => tombstone !== undefined && cells.size === 0)
      .map(([key]) => key)
      .sort();
  }

  /** Merges the chunks of a snapshot. */
  load(chunks: Iterable<object>): void {
    for (const chunk of chunks as Iterable<Partial<SnapshotTableChunk>>) {
      const { type, schema = '', table = '', entries = [] } = chunk;
      for (const { pk, hlc, column = '', value } of entries) {
        const row = { schema, table, pk, hlc };
        if (type === 'tombstone') this.#merge({ type: 'delete', ...row });
        if (type === 'column-versions') this.#merge({ type: 'column', ...row, column, value });
      }
    }
  }
}
