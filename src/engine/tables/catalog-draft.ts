/**
 * The changes of a transaction to the catalog, on top of the catalog before it. A draft on top of a
 * draft is a trial: its changes are adopted, or dropped with it.
 */

import { HLC_MIN, type HlcText } from '../../clock/hlc.ts';
import type { KVTransaction } from '../../storage/kv-store.ts';
import { countKey, migrationKey, nameKey, tableKey } from '../records/keys.ts';
import { NameMap } from '../records/name-map.ts';
import {
  isOfIndex,
  type NameRecord,
  nameToJson,
  type Slot,
  type SlotRecord,
  slotToJson,
  type TableRecord,
  tableToJson,
  toSlot,
} from '../records/table-record.ts';
import type { Catalog, CatalogView } from './catalog.ts';
import { idsOfName, namesOfSlot } from './catalog.ts';
import { type CatalogSize, ddlIn, tablesIn } from './catalog-size.ts';

export class CatalogDraft implements CatalogView {
  readonly #base: CatalogView;
  readonly #size: CatalogSize;
  readonly #tables = new Map<number, TableRecord | undefined>();
  readonly #names = new NameMap<NameRecord>();
  /** The same by the tables that they lead to. May hold earlier versions of a name. */
  readonly #namesByTable = new Map<number, Set<NameRecord>>();
  readonly #slots = new Map<string, Slot | undefined>();
  /** The slots of this draft, by the tables that they name. */
  readonly #slotsByName = new NameMap<Map<string, Slot>>();
  readonly #indexSlotsBySchema = new Map<string, Map<string, Slot>>();
  #nextTable: number;
  #isChanged = false;

  /** @param nextTable the number that the next table will have */
  constructor(base: CatalogView, nextTable: number) {
    this.#base = base;
    this.#size = { ...base.size };
    this.#nextTable = nextTable;
  }

  get nextTable(): number {
    return this.#nextTable;
  }

  get size(): Readonly<CatalogSize> {
    return this.#size;
  }

  get isChanged(): boolean {
    return this.#isChanged;
  }

  table(id: number): TableRecord | undefined {
    return this.#tables.has(id) ? this.#tables.get(id) : this.#base.table(id);
  }

  name(schema: string, table: string): NameRecord | undefined {
    return this.#names.get(schema, table) ?? this.#base.name(schema, table);
  }

  slot(key: string): Slot | undefined {
    return this.#slots.has(key) ? this.#slots.get(key) : this.#base.slot(key);
  }

  *slotsOf(schema: string, table: string): Generator<Slot> {
    for (const slot of this.#base.slotsOf(schema, table)) {
      if (!this.#slots.has(slot.key)) yield slot;
    }
    yield* this.#slotsByName.get(schema, table)?.values() ?? [];
  }

  *indexSlots(schema: string): Generator<Slot> {
    for (const slot of this.#base.indexSlots(schema)) {
      if (!this.#slots.has(slot.key)) yield slot;
    }
    yield* this.#indexSlotsBySchema.get(schema)?.values() ?? [];
  }

  *namesOf(id: number): Generator<NameRecord> {
    for (const name of this.#base.namesOf(id)) {
      if (this.#names.get(name.schema, name.table) === undefined) yield name;
    }
    for (const name of this.#namesByTable.get(id) ?? []) {
      if (this.#names.get(name.schema, name.table) === name) yield name;
    }
  }

  *unsettled(): Generator<TableRecord> {
    for (const table of this.#base.unsettled()) if (!this.#tables.has(table.id)) yield table;
    for (const table of this.#tables.values()) if (table?.unsettled) yield table;
  }

  /** Creates a table with the next number. An unknown name leads to it from now on. */
  create(
    fields: Pick<TableRecord, 'schema' | 'changed'> & { table: string; made?: HlcText | undefined },
    since: HlcText = HLC_MIN,
  ): TableRecord {
    const { schema, table } = fields;
    const created: TableRecord = { id: this.#nextTable++, floor: HLC_MIN, since, ...fields };
    this.setTable(created);
    if (this.name(schema, table) === undefined) this.setName({ schema, table, id: created.id });
    return created;
  }

  setTable(table: TableRecord): void {
    this.#isChanged = true;
    this.#size.tables += tablesIn(table) - tablesIn(this.table(table.id));
    this.#tables.set(table.id, table);
  }

  deleteTable(id: number): void {
    this.#isChanged = true;
    this.#size.tables -= tablesIn(this.table(id));
    this.#tables.set(id, undefined);
  }

  setName(name: NameRecord): void {
    this.#isChanged = true;
    if (this.name(name.schema, name.table) === undefined) this.#size.names++;
    this.#names.set(name.schema, name.table, name);
    for (const id of idsOfName(name)) {
      const names = this.#namesByTable.get(id);
      if (names === undefined) this.#namesByTable.set(id, new Set([name]));
      else names.add(name);
    }
  }

  setSlot(record: SlotRecord): void {
    const slot = toSlot(record);
    this.deleteSlot(slot.key);
    this.#size.ddl += ddlIn(slot);
    this.#slots.set(slot.key, slot);
    for (const slots of this.#listsOf(slot)) slots.set(slot.key, slot);
  }

  deleteSlot(key: string): void {
    this.#isChanged = true;
    this.#size.ddl -= ddlIn(this.slot(key));
    const before = this.#slots.get(key);
    if (before !== undefined) for (const slots of this.#listsOf(before)) slots.delete(key);
    this.#slots.set(key, undefined);
  }

  /** The lists other than `#slots` that a slot belongs to. */
  *#listsOf(slot: Slot): Generator<Map<string, Slot>> {
    const { schema } = slot;
    if (isOfIndex(slot)) {
      const slots = this.#indexSlotsBySchema.get(schema) ?? new Map<string, Slot>();
      this.#indexSlotsBySchema.set(schema, slots);
      yield slots;
      return;
    }
    for (const name of namesOfSlot(slot)) {
      const slots = this.#slotsByName.get(schema, name) ?? new Map<string, Slot>();
      this.#slotsByName.set(schema, name, slots);
      yield slots;
    }
  }

  /** A draft on top of this one. */
  trial(): CatalogDraft {
    return new CatalogDraft(this, this.#nextTable);
  }

  /** Takes over the changes of a trial of this draft. */
  adopt(trial: CatalogDraft): void {
    for (const [id, table] of trial.#tables) {
      if (table === undefined) this.deleteTable(id);
      else this.setTable(table);
    }
    for (const name of trial.#names.values()) this.setName(name);
    for (const [key, slot] of trial.#slots) {
      if (slot === undefined) this.deleteSlot(key);
      else this.setSlot(slot);
    }
    this.#nextTable = trial.#nextTable;
  }

  /** Writes the changes. @param base the catalog below this draft @returns the next catalog */
  write(base: Catalog, transaction: KVTransaction): Catalog {
    for (const [id, table] of this.#tables) {
      if (table === undefined) {
        transaction.delete(tableKey(id));
        transaction.delete(countKey(id));
      } else transaction.put(tableKey(id), Buffer.from(tableToJson(table)));
    }
    for (const name of this.#names.values()) {
      transaction.put(nameKey(name.schema, name.table), Buffer.from(nameToJson(name)));
    }
    for (const [key, slot] of this.#slots) {
      if (slot === undefined) transaction.delete(migrationKey(key));
      else transaction.put(migrationKey(key), Buffer.from(slotToJson(slot)));
    }
    return base.with({
      tables: this.#tables,
      names: this.#names.values(),
      slots: this.#slots,
      size: this.#size,
    });
  }
}
