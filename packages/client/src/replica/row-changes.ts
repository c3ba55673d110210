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
  fromKeyOf,
  isNeededBeside,
  isOfTable,
  isTangled,
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
   * Whether it is not known where rows belong, or not all of them are there: DDL came too late, and they
   * are under other names than they would be had it come in time, or a name is used again for which
   * the server may hold what this site has written. Then only a snapshot tells.
   */
  isLate = false;
  /** See `Meta`. */
  isHeld: boolean | undefined;
  /** Whether DDL makes, drops or renames tables. */
  movesNames = false;
  /** The newest HLC of what has come in. */
  seen: HlcText | undefined;
  /** With what is new, once there is DDL. */
  #migrations: Map<string, Migration> | undefined;
  #names: Catalog | undefined;

  constructor(replica: Replica, generation = replica.meta.generation) {
    this.#replica = replica;
    this.#generation = generation;
    this.#held = replica.generation(generation);
    this.isHeld = replica.meta.isHeld;
  }

  get #catalog(): Catalog {
    const isAsShown = this.#generation === this.#replica.meta.generation;
    if (this.#migrations === undefined && isAsShown) return this.#replica.catalog;
    const migrations = this.#migrations ?? this.#held.migrations;
    this.#names ??= new Catalog(migrations.values());
    return this.#names;
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
    this.merge(this.#named(change));
  }

  #named(change: Change): Change {
    const key = tableKeyOf(change.schema, change.table);
    const nameNow = this.#catalog.resolve(key) ?? key;
    return nameNow === key ? change : { ...change, ...toTable(nameNow) };
  }

  /**
   * What this site had written before all was told anew. It is never told of that: deletions that have expired
   * are left out. What else is, the server holds.
   */
  keepOwn(change: Change): void {
    if (change.type === 'delete') {
      this.mergeOwn(change, change.table);
      return;
    }
    const row = this.row(rowKeyOf(this.#named(change)));
    if (merge(row, change) !== row) this.isHeld = true;
  }

  /**
   * A change of this site's, which it has named itself.
   * @param table under which the server has it; `undefined` if it tells nobody of it, until its table is
   *   made again
   * @param namedAt the time at which the name meant its table
   */
  mergeOwn(change: Change, table: string | undefined, namedAt = change.hlc): void {
    if (table === undefined) {
      this.isHeld = true;
      return;
    }
    const named = { ...change, table };
    const key = this.#catalog.resolve(tableKeyOf(change.schema, change.table), namedAt);
    if (key === tableKeyOf(named.schema, table) && !this.#catalog.isHidden(key)) this.merge(named);
    else this.isLate = true;
  }

  /** What has won over such a change. */
  mergeWinner({ change, winner }: StoredOutcomeChange, table: string | undefined): void {
    if (winner?.value === undefined || change.type === 'delete') return;
    this.mergeOwn({ ...change, hlc: winner.hlc, value: winner.value }, table, change.hlc);
  }

  /** The row that such a change is of. */
  rowOfOwn(change: Change): StoredRow | undefined {
    const key = this.#replica.keyOf(change, this.#catalog);
    return key === undefined ? undefined : this.row(key);
  }

  /**
   * Carries out DDL, in the order of its HLCs. It comes before the changes of the same message.
   * @param isInOrder whether nothing has come before it that may be named by what it does
   */
  migrate(migrations: readonly Migration[], isInOrder = true): void {
    if (migrations.length === 0) return;
    this.#migrations ??= new Map(this.#held.migrations);
    const known = this.#migrations;
    for (const migration of byHlc(migrations)) {
      this.seen = later(this.seen, migration.hlc);
      const slot = slotOf(migration);
      const held = known.get(slot);
      if (held !== undefined && compareHlc(migration.hlc, held.hlc) <= 0) continue;
      if (isOfTable(migration)) {
        this.movesNames = true;
        const isFirst = migration.type === 'create_table' && !this.#reusesName(migration);
        const isCertain = isFirst || isInOrder;
        if (!isCertain || this.#mayHaveOwn(migration) || isTangled(migration, known.values()))
          this.isLate = true;
      }
      if (held !== undefined && isNeededBeside(held, migration, known.values())) {
        this.#putDdl(known, earlierSlotOf(held), held);
      }
      this.#putDdl(known, slot, migration);
      this.#names = undefined;
      this.#moveRows(migration);
    }
  }

  /** Whether its name has been another table's, or that of one that was dropped. */
  #reusesName({ schema, table }: Migration): boolean {
    const key = tableKeyOf(schema, table);
    return this.#catalog.resolve(key) !== key || this.#catalog.isHidden(key);
  }

  /**
   * Whether a name is used again that this site has written to before it knew: the server may hold that for
   * it, or have put into it what is under another name here.
   */
  #mayHaveOwn({ type, schema, table, hlc }: Migration): boolean {
    if (type === 'drop_table') return false;
    const key = tableKeyOf(schema, table);
    const other = this.#catalog.resolve(key) ?? key;
    return this.isHeld === true || (other !== key && this.#hasOwnAbove(other, hlc));
  }

  #hasOwnAbove(tableKey: string, hlc: HlcText): boolean {
    const { siteId } = this.#replica.meta;
    return this.#tableRows(tableKey).some(([, row]) => rowAbove(row, hlc, siteId) !== undefined);
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
      // What has been written since is told anew when the table is made again, but to who wrote it. Where
      // that has come already, all of it stays.
      const isHidden = this.#catalog.isHidden(key);
      if (isHidden && this.#hasOwnAbove(key, hlc)) this.isHeld = true;
      for (const [rowKey, row] of this.#tableRows(key)) {
        this.#rows.set(rowKey, isHidden ? undefined : rowAbove(row, hlc));
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
