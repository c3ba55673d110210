/**
 * What is told by the server, or taken by it, on its way into one generation of the replica: changes
 * of rows, and DDL, which moves and takes away rows. It becomes one batch of the store.
 */

import { compareHlc, type HlcText } from '../../../../src/clock/hlc.ts';
import { later } from '../clock.ts';
import type { Change, Migration } from '../protocol/messages.ts';
import type { StoreOperation } from '../stores/store.ts';
import {
  byHlc,
  Catalog,
  earlierSlotOf,
  forgottenDrop,
  fromKeyOf,
  isBehind,
  isNeededBeside,
  movesTables,
  slotOf,
} from './catalog.ts';
import {
  DDL,
  entryOf,
  generationPrefix,
  rowKeyOf,
  type StoredOutcomeChange,
  type StoredRow,
  tableKeyOf,
  toTable,
} from './entries.ts';
import type { Generation, Replica } from './replica.ts';
import { copyOf, joinRows, merge, rowAbove } from './rows.ts';

export class RowChanges {
  readonly #replica: Replica;
  readonly #generation: number;
  readonly #held: Generation;
  /** `undefined` for one that goes. Nobody else has them yet, so they are changed in place. */
  readonly #rows = new Map<string, StoredRow | undefined>();
  readonly #ddl: StoreOperation[] = [];
  /**
   * Whether DDL could not be carried out on the rows that are there: it came too late, and they are under
   * other names than they would be had it come in the order of HLCs, or it makes a table again whose
   * rows were held. Where they belong only a snapshot tells.
   */
  isLate = false;
  /** The newest HLC of what has come in. */
  seen: HlcText | undefined;
  /** With what is new, once there is DDL. */
  #migrations: Map<string, Migration> | undefined;
  #names: Catalog | undefined;

  constructor(replica: Replica, generation = replica.meta.generation) {
    this.#replica = replica;
    this.#generation = generation;
    this.#held = replica.generation(generation);
  }

  get #catalog(): Catalog {
    const isAsShown = this.#generation === this.#replica.meta.generation;
    if (this.#migrations === undefined && isAsShown) return this.#replica.catalog;
    const migrations = this.#migrations ?? this.#held.migrations;
    this.#names ??= new Catalog(migrations.values());
    return this.#names;
  }

  /** Whether a table was dropped, and not made again. */
  isHidden({ schema, table }: { schema: string; table: string }): boolean {
    return this.#catalog.isHidden(tableKeyOf(schema, table));
  }

  row(key: string): StoredRow | undefined {
    const row = this.#rows.get(key);
    if (row !== undefined || this.#rows.has(key)) return row;
    return this.#held.rows.get(key);
  }

  /** A change under the name that its table has. */
  merge(change: Change): void {
    this.seen = later(this.seen, change.hlc);
    const key = rowKeyOf(change);
    const own = this.#rows.get(key);
    const before = own ?? this.row(key);
    const after = merge(before, change, own !== undefined);
    if (after !== before) this.#rows.set(key, after);
  }

  /**
   * A change that the server has sent. It may have named it before it was told of a rename of this
   * site's, of which it has told nobody then.
   */
  mergeSent(change: Change): void {
    const key = tableKeyOf(change.schema, change.table);
    const nameNow = this.#catalog.resolve(key) ?? key;
    this.merge(nameNow === key ? change : { ...change, ...toTable(nameNow) });
  }

  /**
   * A change as this site has named it; older than a drop it counts for nothing.
   * @param namedAt the time at which the name meant its table
   */
  mergeOwn(change: Change, namedAt = change.hlc): void {
    const tableKey = this.#catalog.resolve(tableKeyOf(change.schema, change.table), namedAt);
    if (tableKey !== undefined) this.merge({ ...change, ...toTable(tableKey) });
  }

  /** What has won over such a change. */
  mergeWinner({ change, winner }: StoredOutcomeChange): void {
    if (winner?.value === undefined || change.type === 'delete') return;
    this.mergeOwn({ ...change, hlc: winner.hlc, value: winner.value }, change.hlc);
  }

  /** The row that such a change is of. */
  rowOfOwn(change: Change): StoredRow | undefined {
    const key = this.#replica.keyOf(change, this.#catalog);
    return key === undefined ? undefined : this.row(key);
  }

  /** Carries out DDL, in the order of its HLCs. It comes before the changes of the same message. */
  migrate(migrations: readonly Migration[]): void {
    if (migrations.length === 0) return;
    this.#migrations ??= new Map(this.#held.migrations);
    const known = this.#migrations;
    for (const migration of byHlc(migrations)) {
      this.seen = later(this.seen, migration.hlc);
      const slot = slotOf(migration);
      const held = known.get(slot);
      if (held !== undefined && compareHlc(migration.hlc, held.hlc) <= 0) continue;
      if (this.#revives(migration)) this.isLate = true;
      const effects = isBehind(migration, known.values()) ? this.#catalog.effects : undefined;
      if (held !== undefined && isNeededBeside(held, migration, known.values())) {
        this.#putDdl(known, earlierSlotOf(held), held);
      }
      this.#putDdl(known, slot, migration);
      this.#names = undefined;
      if (effects && movesTables(migration, effects, this.#catalog.effects)) this.isLate = true;
      this.#moveRows(migration);
    }
  }

  /**
   * Whether the name of a dropped table is used again, for which this site holds what it has written since.
   * That may have come to another table by DDL of which it has not heard, or that came to nothing elsewhere.
   */
  #revives(migration: Migration): boolean {
    const { type, schema, table } = migration;
    return (
      /^(create|rename)_table/.test(type) &&
      this.#tableRows(tableKeyOf(schema, table)).length > 0 &&
      this.isHidden(migration)
    );
  }

  /**
   * Tables of before that the DDL does not speak of were dropped, and the drop has been forgotten. What
   * this site has written to them is held until they are made again. Rows are told of live tables only.
   */
  forgetTables(before: Catalog): void {
    const spokenOf = new Set<string>();
    for (const migration of this.#held.migrations.values()) {
      spokenOf.add(tableKeyOf(migration.schema, migration.table)).add(fromKeyOf(migration));
    }
    for (const [key, hlc] of before.names()) {
      if (spokenOf.has(key) || this.#tableRows(key).length > 0) continue;
      this.migrate([forgottenDrop(key, hlc)]);
    }
  }

  #putDdl(known: Map<string, Migration>, slot: string, migration: Migration): void {
    known.set(slot, migration);
    this.#ddl.push(entryOf(this.#ddlKey(slot), migration));
  }

  #moveRows(migration: Migration): void {
    const { type, schema, table, hlc } = migration;
    const key = tableKeyOf(schema, table);
    if (type === 'rename_table') {
      if (this.#catalog.effects.has(hlc)) this.#rename(fromKeyOf(migration), key);
    } else if (type === 'drop_table' && this.#catalog.floorOf(key) === hlc) {
      // What others have written since is told anew when the table is made again, as far as it is not
      // deleted meanwhile: where that has come already, all of it stays. What this site has written is
      // not told to it.
      const site = this.isHidden(migration) ? this.#replica.meta.siteId : undefined;
      for (const [rowKey, row] of this.#tableRows(key)) {
        this.#rows.set(rowKey, rowAbove(row, hlc, site));
      }
      this.#forgetDdl(migration);
    }
  }

  /** What led to a drop is not needed any more, unless a rename hangs on it. */
  #forgetDdl({ schema, table, hlc: floor }: Migration): void {
    const known = this.#migrations ?? new Map<string, Migration>();
    const ofName = [...known].filter(
      ([, each]) => each.schema === schema && (each.table === table || each.fromTable === table),
    );
    if (ofName.some(([, { type }]) => type === 'rename_table')) return;
    for (const [slot, { type, hlc }] of ofName) {
      if (type.endsWith('_index') || compareHlc(hlc, floor) >= 0) continue;
      known.delete(slot);
      this.#ddl.push(entryOf(this.#ddlKey(slot)));
    }
  }

  #rename(from: string, to: string): void {
    for (const [key, row] of this.#tableRows(from)) {
      const target = to + key.slice(from.length);
      const there = this.row(target);
      const moved = joinRows(there && copyOf(there), copyOf({ ...row, ...toTable(to) }));
      this.#rows.set(key, undefined);
      this.#rows.set(target, moved);
    }
  }

  #tableRows(tableKey: string): [key: string, row: StoredRow][] {
    const keys = new Set(this.#held.tables.get(tableKey));
    for (const [key, row] of this.#rows)
      if (row && tableKeyOf(row.schema, row.table) === tableKey) keys.add(key);
    return [...keys].flatMap((key) => {
      const row = this.row(key);
      return row === undefined ? [] : [[key, row]];
    });
  }

  #ddlKey(slot: string): string {
    return generationPrefix(this.#generation, DDL) + slot;
  }

  /** Nothing may be merged after this. */
  operations(): StoreOperation[] {
    const prefix = generationPrefix(this.#generation);
    const rows = [...this.#rows].map(([key, row]) => entryOf(prefix + key, row));
    return [...this.#ddl, ...rows];
  }
}
