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
import { namesOfSlot } from './catalog.ts';
import { type CatalogSize, countName, countSlot, countTable } from './catalog-size.ts';
import { newLeads } from './past-leads.ts';
import type { SlotsByHlc } from './slots-by-hlc.ts';

/** A name of which the draft may make many records: only the latest is kept. */
interface LatestName {
  record: NameRecord;
}

export class CatalogDraft implements CatalogView {
  readonly #base: CatalogView;
  readonly #size: CatalogSize;
  readonly #tables = new Map<number, TableRecord | undefined>();
  /** Those of `#tables` that have to be emptied. */
  readonly #unsettled = new Map<number, TableRecord>();
  /** Those that are so since they were taken the last time. */
  #newlyUnsettled = new Set<number>();
  /** Those of `#tables` that have a successor, by that. May hold some that have another one now. */
  readonly #endedInto = new Map<number, Set<number>>();
  readonly #names = new NameMap<LatestName>();
  /** The same by the tables that they lead to. May hold some that do not any more. */
  readonly #namesByTable = new Map<number, Set<LatestName>>();
  readonly #slots = new Map<string, Slot | undefined>();
  /** The slots of this draft, by the tables that they name: empty if those of the base have gone. */
  readonly #slotsByName = new NameMap<Map<string, Slot>>();
  /** All slots of indexes, with those of the base, of the schemas in which some have changed. */
  readonly #indexSlots = new Map<string, SlotsByHlc>();
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

  /** The number of tables and slots that differ from those below it. */
  get changes(): number {
    return this.#tables.size + this.#slots.size;
  }

  table(id: number): TableRecord | undefined {
    return this.#tables.has(id) ? this.#tables.get(id) : this.#base.table(id);
  }

  name(schema: string, table: string): NameRecord | undefined {
    return this.#names.get(schema, table)?.record ?? this.#base.name(schema, table);
  }

  slot(key: string): Slot | undefined {
    return this.#slots.has(key) ? this.#slots.get(key) : this.#base.slot(key);
  }

  slotsOf(schema: string, table: string): Iterable<Slot> {
    const before = this.#base.slotsOf(schema, table);
    const own = this.#slotsByName.get(schema, table);
    if (own === undefined) return before;
    const slots = [...before].filter(({ key }) => !this.#slots.has(key));
    return slots.length === 0 ? own.values() : slots.concat([...own.values()]);
  }

  indexSlots(schema: string): ReturnType<CatalogView['indexSlots']> {
    return this.#indexSlots.get(schema) ?? this.#base.indexSlots(schema);
  }

  /** Also some that have ceased to lead to it within the transaction. */
  namesOf(id: number): Iterable<NameRecord> {
    const names = new Set<NameRecord>();
    for (const name of this.#base.namesOf(id)) {
      names.add(this.#names.get(name.schema, name.table)?.record ?? name);
    }
    for (const { record } of this.#namesByTable.get(id) ?? []) names.add(record);
    return names;
  }

  *unsettled(): Generator<TableRecord> {
    for (const table of this.#base.unsettled()) if (!this.#tables.has(table.id)) yield table;
    yield* this.#unsettled.values();
  }

  /** The tables that have to be emptied since this was called the last time. */
  takeNewlyUnsettled(): number[] {
    const ids = [...this.#newlyUnsettled];
    this.#newlyUnsettled.clear();
    return ids;
  }

  *endedInto(id: number): Generator<TableRecord> {
    for (const table of this.#base.endedInto(id)) if (!this.#tables.has(table.id)) yield table;
    for (const ended of this.#endedInto.get(id) ?? []) {
      const table = this.#tables.get(ended);
      if (table?.into === id) yield table;
    }
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
    countTable(this.#size, this.table(table.id), -1);
    countTable(this.#size, table, 1);
    this.#tables.set(table.id, table);
    if (table.into !== undefined) setOf(this.#endedInto, table.into).add(table.id);
    if (table.unsettled) {
      this.#unsettled.set(table.id, table);
      this.#newlyUnsettled.add(table.id);
    } else this.#unsettled.delete(table.id);
  }

  deleteTable(id: number): void {
    this.#isChanged = true;
    countTable(this.#size, this.table(id), -1);
    this.#tables.set(id, undefined);
    this.#unsettled.delete(id);
    this.#endedInto.delete(id);
    this.#namesByTable.delete(id);
  }

  setName(name: NameRecord): void {
    this.#isChanged = true;
    const { schema, table } = name;
    const before = this.name(schema, table);
    countName(this.#size, before, -1);
    countName(this.#size, name, 1);
    const latest = this.#names.get(schema, table) ?? { record: name };
    latest.record = name;
    this.#names.set(schema, table, latest);
    for (const id of newLeads(before, name)) setOf(this.#namesByTable, id).add(latest);
  }

  setSlot(record: SlotRecord): void {
    const slot = toSlot(record);
    this.deleteSlot(slot.key);
    countSlot(this.#size, slot, 1);
    this.#slots.set(slot.key, slot);
    if (isOfIndex(slot)) this.#indexSlotsOf(slot).add(slot);
    else for (const slots of this.#listsOf(slot)) slots.set(slot.key, slot);
  }

  deleteSlot(key: string): void {
    this.#isChanged = true;
    const before = this.slot(key);
    countSlot(this.#size, before, -1);
    if (before !== undefined) {
      if (isOfIndex(before)) this.#indexSlotsOf(before).delete(before);
      else for (const slots of this.#listsOf(before)) slots.delete(key);
    }
    this.#slots.set(key, undefined);
  }

  #indexSlotsOf({ schema }: Slot): SlotsByHlc {
    const slots = this.#indexSlots.get(schema) ?? this.#base.indexSlots(schema).copy();
    this.#indexSlots.set(schema, slots);
    return slots;
  }

  /** The lists other than `#slots` that a slot of a table belongs to. */
  *#listsOf(slot: Slot): Generator<Map<string, Slot>> {
    const { schema } = slot;
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
    for (const { record } of trial.#names.values()) this.setName(record);
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
    const names = [...this.#names.values()].map(({ record }) => record);
    for (const name of names) {
      transaction.put(nameKey(name.schema, name.table), Buffer.from(nameToJson(name)));
    }
    for (const [key, slot] of this.#slots) {
      if (slot === undefined) transaction.delete(migrationKey(key));
      else transaction.put(migrationKey(key), Buffer.from(slotToJson(slot)));
    }
    return base.with({
      tables: this.#tables,
      names,
      slots: this.#slots,
      size: this.#size,
    });
  }
}

function setOf<Value>(sets: Map<number, Set<Value>>, id: number): Set<Value> {
  const known = sets.get(id);
  if (known !== undefined) return known;
  const set = new Set<Value>();
  sets.set(id, set);
  return set;
}
