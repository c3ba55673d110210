/**
 * The catalog: the tables of a database, the names that lead to them, and their DDL. It is in
 * memory while the database is open, and immutable: a transaction collects its changes in a draft
 * (`catalog-draft.ts`), writes them, and makes the next catalog from them. So readers see a whole
 * catalog that is stored, and never changes that may yet fail.
 */

import { compareHlc } from '../../clock/hlc.ts';
import type { KVReader } from '../../storage/kv-store.ts';
import { kindRange } from '../records/keys.ts';
import { NameMap } from '../records/name-map.ts';
import { bytesToText } from '../records/row.ts';
import {
  isLive,
  isOfIndex,
  type LiveTable,
  type NameRecord,
  type Slot,
  type SlotRecord,
  type TableRecord,
  toSlot,
} from '../records/table-record.ts';
import { type CatalogRoom, UNLIMITED_ROOM } from './catalog-memory.ts';
import { type CatalogSize, countName, countSlot, countTable, emptySize } from './catalog-size.ts';
import { SlotsByHlc } from './slots-by-hlc.ts';

/** What a catalog and a draft of the next one have in common. */
export interface CatalogView {
  readonly size: Readonly<CatalogSize>;
  table(id: number): TableRecord | undefined;
  name(schema: string, table: string): NameRecord | undefined;
  /** @param key see `slotKeyOf` */
  slot(key: string): Slot | undefined;
  /** DDL of tables with this name as the current or the former one. */
  slotsOf(schema: string, table: string): Iterable<Slot>;
  /** DDL of indexes. */
  indexSlots(schema: string): Pick<SlotsByHlc, 'between' | 'copy'>;
  /** All names that lead, or led, to a table. */
  namesOf(id: number): Iterable<NameRecord>;
  /** Tables that have to be emptied. */
  unsettled(): Iterable<TableRecord>;
  /** The tables whose place a table has taken. */
  endedInto(id: number): Iterable<TableRecord>;
}

/** The changes to the next catalog: a record, or `undefined` for one that is removed. */
export interface CatalogChanges {
  tables: ReadonlyMap<number, TableRecord | undefined>;
  names: readonly NameRecord[];
  slots: ReadonlyMap<string, Slot | undefined>;
  /** The size of the next catalog. */
  size: Readonly<CatalogSize>;
}

/** The current and the former name of a migration of a table, without repeats. */
export function namesOfSlot({ table, fromTable = table }: SlotRecord): string[] {
  return fromTable === table ? [table] : [table, fromTable];
}

/** The numbers of all tables that a name leads, or led, to. */
export function idsOfName({ id, past }: NameRecord): Iterable<number> {
  return past === undefined ? [id] : new Set([id, ...past.map(([, lead]) => lead)]);
}

export function liveTable(
  catalog: CatalogView,
  schema: string,
  table: string,
): LiveTable | undefined {
  const name = catalog.name(schema, table);
  const found = name && catalog.table(name.id);
  return found !== undefined && isLive(found) && found.table === table ? found : undefined;
}

async function readJson(
  reader: KVReader,
  kind: 'g' | 't' | 'n',
  read: (value: unknown) => Promise<void> | undefined,
): Promise<void> {
  for await (const entries of reader.iterate(kindRange(kind))) {
    for (const [, value] of entries) {
      const room = read(JSON.parse(bytesToText(value)));
      if (room !== undefined) await room;
    }
  }
}

/** So much is read before there has to be room for it. */
const STEP_BYTES = 256 * 1024;

export class Catalog implements CatalogView {
  readonly #tables: ReadonlyMap<number, TableRecord>;
  readonly #names: NameMap<NameRecord>;
  readonly #slots: ReadonlyMap<string, Slot>;
  readonly size: Readonly<CatalogSize>;
  #indexes: Indexes | undefined;
  #unsettled: readonly TableRecord[] | undefined;
  #endedInto: ReadonlyMap<number, readonly TableRecord[]> | undefined;
  #migrationsByHlc: readonly Slot[] | undefined;

  private constructor(
    tables: ReadonlyMap<number, TableRecord>,
    names: NameMap<NameRecord>,
    slots: ReadonlyMap<string, Slot>,
    size: Readonly<CatalogSize>,
  ) {
    this.size = size;
    this.#tables = tables;
    this.#names = names;
    this.#slots = slots;
  }

  /**
   * @param reader no writer may change its catalog meanwhile
   * @param room what is read has to have room in it; given back by whoever gave it
   * @throws SyncError OVERLOADED, or what the store throws
   */
  static async load(
    reader: KVReader,
    room: Pick<CatalogRoom, 'read'> = UNLIMITED_ROOM,
  ): Promise<Catalog> {
    const tables = new Map<number, TableRecord>();
    const names = new NameMap<NameRecord>();
    const slots = new Map<string, Slot>();
    const size = emptySize();
    let taken = 0;
    const take = () => {
      if (size.heldBytes < taken + STEP_BYTES) return undefined;
      taken = size.heldBytes;
      return room.read(taken);
    };
    await readJson(reader, 't', (value) => {
      const table = value as TableRecord;
      tables.set(table.id, table);
      countTable(size, table, 1);
      return take();
    });
    await readJson(reader, 'n', (value) => {
      const name = value as NameRecord;
      names.set(name.schema, name.table, name);
      countName(size, name, 1);
      return take();
    });
    await readJson(reader, 'g', (value) => {
      const slot = toSlot(value as SlotRecord);
      slots.set(slot.key, slot);
      countSlot(size, slot, 1);
      return take();
    });
    await room.read(size.heldBytes);
    return new Catalog(tables, names, slots, size);
  }

  /** The next catalog, with these changes. */
  with(changes: CatalogChanges): Catalog {
    return new Catalog(
      withChanges(this.#tables, changes.tables),
      withNames(this.#names, changes.names),
      withChanges(this.#slots, changes.slots),
      changes.size,
    );
  }

  table(id: number): TableRecord | undefined {
    return this.#tables.get(id);
  }

  name(schema: string, table: string): NameRecord | undefined {
    return this.#names.get(schema, table);
  }

  slot(key: string): Slot | undefined {
    return this.#slots.get(key);
  }

  slotsOf(schema: string, table: string): Iterable<Slot> {
    return this.#indexed.slotsByName.get(schema, table) ?? [];
  }

  indexSlots(schema: string): SlotsByHlc {
    return this.#indexed.indexSlots(schema);
  }

  namesOf(id: number): Iterable<NameRecord> {
    return this.#indexed.namesByTable.get(id) ?? [];
  }

  unsettled(): Iterable<TableRecord> {
    this.#unsettled ??= [...this.#tables.values()].filter(({ unsettled }) => unsettled);
    return this.#unsettled;
  }

  endedInto(id: number): Iterable<TableRecord> {
    this.#endedInto ??= byWhatTheyEndedInto(this.#tables.values());
    return this.#endedInto.get(id) ?? [];
  }

  get tables(): Iterable<TableRecord> {
    return this.#tables.values();
  }

  get names(): Iterable<NameRecord> {
    return this.#names.values();
  }

  get slots(): ReadonlyMap<string, Slot> {
    return this.#slots;
  }

  /** In the order in which they were made. */
  liveTables(): LiveTable[] {
    return [...this.#tables.values()].filter(isLive).sort((a, b) => a.id - b.id);
  }

  /** The DDL that is sent, by HLC. */
  migrationsByHlc(): readonly Slot[] {
    this.#migrationsByHlc ??= [...this.#slots.values()]
      .filter(({ aside }) => !aside)
      .sort((a, b) => compareHlc(a.hlc, b.hlc));
    return this.#migrationsByHlc;
  }

  /** Made when DDL needs them: reading and writing rows does not. */
  get #indexed(): Indexes {
    this.#indexes ??= new Indexes(this);
    return this.#indexes;
  }
}

function withNames(before: NameMap<NameRecord>, changed: readonly NameRecord[]): typeof before {
  if (changed.length === 0) return before;
  const after = before.copy();
  for (const name of changed) after.set(name.schema, name.table, name);
  return after;
}

function withChanges<Key, Value>(
  before: ReadonlyMap<Key, Value>,
  changes: ReadonlyMap<Key, Value | undefined>,
): ReadonlyMap<Key, Value> {
  if (changes.size === 0) return before;
  const after = new Map(before);
  for (const [key, value] of changes) {
    if (value === undefined) after.delete(key);
    else after.set(key, value);
  }
  return after;
}

/** Indexes of the maps of a catalog. */
class Indexes {
  readonly slotsByName = new NameMap<Slot[]>();
  readonly namesByTable = new Map<number, NameRecord[]>();
  readonly #indexSlotsBySchema = new Map<string, Slot[]>();
  /** Ordered when they are asked for: only drops do. */
  readonly #indexSlots = new Map<string, SlotsByHlc>();

  constructor({ names, slots }: Catalog) {
    for (const name of names) for (const id of idsOfName(name)) push(this.namesByTable, id, name);
    for (const slot of slots.values()) {
      if (isOfIndex(slot)) push(this.#indexSlotsBySchema, slot.schema, slot);
      else for (const name of namesOfSlot(slot)) this.#addSlot(name, slot);
    }
  }

  indexSlots(schema: string): SlotsByHlc {
    const known = this.#indexSlots.get(schema);
    if (known !== undefined) return known;
    const slots = new SlotsByHlc(this.#indexSlotsBySchema.get(schema));
    this.#indexSlots.set(schema, slots);
    return slots;
  }

  #addSlot(name: string, slot: Slot): void {
    const known = this.slotsByName.get(slot.schema, name);
    if (known === undefined) this.slotsByName.set(slot.schema, name, [slot]);
    else known.push(slot);
  }
}

function byWhatTheyEndedInto(tables: Iterable<TableRecord>): Map<number, TableRecord[]> {
  const lists = new Map<number, TableRecord[]>();
  for (const table of tables) if (table.into !== undefined) push(lists, table.into, table);
  return lists;
}

function push<Key, Value>(lists: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
