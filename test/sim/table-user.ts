/**
 * What the user of a device does to tables: makes, drops, renames them and makes them again, and
 * writes to those that are there, as far as the device knows.
 */

import type { HlcText } from '../../src/clock/hlc.ts';
import type { WireChange, WireMigration } from '../../src/protocol/schemas.ts';
import type { TableView } from './participant.ts';
import type { Random } from './random.ts';
import { FORBIDDEN_PK, markedValue, type Rules } from './rules.ts';
import { isManaged, MIXED_NAMES } from './table-names.ts';

/** What one transaction of the user holds, as yet without HLCs. */
export interface Deed {
  migrations: WireMigration[];
  changes: WireChange[];
}

export interface TableUserOptions {
  random: Random;
  number: number;
  rules: Rules;
  /** Whether it changes tables, or only writes to them. */
  isMaker: boolean;
  /** Whether nobody else changes tables: what it renames is its own. */
  isOnlyMaker: boolean;
  /** Whether one table is filled with more rows than a step of the coordinator's takes, and by it. */
  bulk: 'none' | 'filled by another' | 'filled by it';
  /** Whether it makes again what another makes and drops, as apps do each time that they start. */
  repeats: boolean;
}

const BULK_ROWS = 1800;
const BULK_ROWS_PER_SET = 100;
/** Dated in its place by the device. */
const UNDATED: HlcText = '';

export class TableUser {
  readonly #options: TableUserOptions;
  #versions = 0;
  #values = 0;
  /** How often a name was dropped for good. */
  #gone = 0;
  #chain = 0;
  #bulkRows = 0;

  constructor(options: TableUserOptions) {
    this.#options = options;
  }

  /** It makes its tables, as it does each time that it starts: whoever made them first. */
  start(): Deed {
    return { migrations: [this.#create('base')], changes: [] };
  }

  isFilling(catalog: Pick<TableView, 'has' | 'tables'>): boolean {
    const { bulk } = this.#options;
    return bulk === 'filled by it' && catalog.has('big') && this.#bulkRows < BULK_ROWS;
  }

  /** @returns `undefined` if there is nothing to be done */
  act(catalog: Pick<TableView, 'has' | 'tables'>): Deed | undefined {
    const { random, isMaker } = this.#options;
    if (this.isFilling(catalog)) return this.#fill();
    const dice = random.next();
    if (dice < 0.05) return this.#forbiddenDelete(catalog);
    if (dice < 0.08) return this.start();
    if (dice < 0.25 && this.#options.repeats && catalog.has('again')) {
      return { migrations: [this.#once(this.#create('again'))], changes: [] };
    }
    if (isMaker && dice < 0.5) return this.#change(catalog);
    return this.#write(catalog.tables());
  }

  // — tables

  #change(catalog: Pick<TableView, 'has' | 'tables'>): Deed | undefined {
    const { random, isOnlyMaker, bulk, repeats } = this.#options;
    if (bulk !== 'none' && random.chance(0.3)) return this.big(catalog);
    if (repeats && random.chance(0.25)) return this.#again(catalog);
    const dice = random.next();
    if (dice < 0.12) return this.#makeAndDropForGood(catalog);
    if (dice < 0.24) return this.#again(catalog);
    if (dice < 0.36 && isOnlyMaker) return this.#renameChain(catalog);
    if (dice < 0.42) return this.#alter(catalog);
    return this.#mix(catalog);
  }

  /** Anything, among a few names. */
  #mix(catalog: Pick<TableView, 'has' | 'tables'>): Deed | undefined {
    const { random } = this.#options;
    const there = MIXED_NAMES.filter((name) => catalog.has(name));
    const free = MIXED_NAMES.filter((name) => !catalog.has(name));
    const table = random.pick(there);
    const other = random.pick(free);
    const kind = random.pick(['create', 'drop', 'rename', 'rename'] as const);
    if (kind === 'create') return other === undefined ? undefined : this.#made(other);
    if (table === undefined) return undefined;
    if (kind === 'drop') return { migrations: [this.#drop(table)], changes: [] };
    if (other === undefined) return undefined;
    const renamed = this.#rename(table, other);
    // At once, in one transaction, the old name may be made again, or the new one be written to.
    if (random.chance(0.2)) return { migrations: [renamed, this.#create(table)], changes: [] };
    return { migrations: [renamed], changes: random.chance(0.4) ? [this.#cell(other)] : [] };
  }

  #again(catalog: Pick<TableView, 'has' | 'tables'>): Deed {
    const { random } = this.#options;
    if (!catalog.has('again')) return this.#made('again');
    const drop = this.#drop('again');
    // In the place of one before. Of two devices in one place one is lost.
    if (this.#options.isOnlyMaker && random.chance(0.6)) drop.schemaVersion = 2;
    if (random.chance(0.3)) {
      return { migrations: [drop, this.#create('again')], changes: [this.#cell('again')] };
    }
    return { migrations: [drop], changes: [] };
  }

  /** Half of the time it makes a name that nobody uses, else it drops one that it had made. */
  #makeAndDropForGood(catalog: Pick<TableView, 'has' | 'tables'>): Deed {
    const name = `gone-${this.#options.number}-${this.#gone}`;
    if (!catalog.has(name)) return this.#made(name);
    this.#gone++;
    return { migrations: [this.#drop(name)], changes: [] };
  }

  #renameChain(catalog: Pick<TableView, 'has' | 'tables'>): Deed | undefined {
    const name = `chain-${this.#chain}`;
    if (!catalog.has(name)) return this.#chain === 0 ? this.#made(name) : undefined;
    const next = `chain-${++this.#chain}`;
    const changes = this.#options.random.chance(0.3) ? [this.#cell(next)] : [];
    return { migrations: [this.#rename(name, next)], changes };
  }

  #alter(catalog: Pick<TableView, 'has' | 'tables'>): Deed | undefined {
    const { random } = this.#options;
    const table = random.pick(catalog.tables());
    if (table === undefined) return undefined;
    if (random.chance(0.5)) {
      const column = `column of ${table}`;
      return { migrations: [this.#migration('add_column', table, column)], changes: [] };
    }
    const text = `create index idx on ${table}`;
    return { migrations: [this.#migration('add_index', `idx ${table}`, text)], changes: [] };
  }

  /** Makes the table that another fills, or drops it. */
  big(catalog: Pick<TableView, 'has' | 'tables'>): Deed {
    if (!catalog.has('big')) return this.#made('big');
    return { migrations: [this.#drop('big')], changes: [] };
  }

  #made(table: string): Deed {
    const changes = this.#options.random.chance(0.5) ? [this.#cell(table)] : [];
    return { migrations: [this.#create(table)], changes };
  }

  #create(table: string): WireMigration {
    const migration = this.#migration('create_table', table, `create ${table}`);
    return table === 'base' ? this.#once(migration) : this.#sometimesOnce(migration, 1);
  }

  /** Most apps say the same each time; some count versions up. */
  #sometimesOnce(migration: WireMigration, schemaVersion: number): WireMigration {
    return this.#options.random.chance(0.6) ? { ...migration, schemaVersion } : migration;
  }

  #once(migration: WireMigration): WireMigration {
    return { ...migration, schemaVersion: 1 };
  }

  #drop(table: string): WireMigration {
    return this.#migration('drop_table', table, `drop ${table}`);
  }

  #rename(fromTable: string, table: string): WireMigration {
    const migration = this.#migration('rename_table', table, `rename ${fromTable} to ${table}`);
    return { ...migration, fromTable };
  }

  /** In a slot of its own: what two devices do in one slot without having heard of each other is lost. */
  #migration(type: WireMigration['type'], table: string, ddl: string): WireMigration {
    const schemaVersion = this.#options.number * 1000 + ++this.#versions;
    return { type, schema: 'main', table, ddl, hlc: UNDATED, schemaVersion };
  }

  // — rows

  #write(tables: readonly string[]): Deed | undefined {
    const { random } = this.#options;
    const table = random.pick(tables.filter(isManaged));
    if (table === undefined) return undefined;
    const changes: WireChange[] = [];
    for (let i = random.integer(1, 3); i > 0; i--) {
      const cell = this.#cell(table, true);
      const { schema, pk, hlc } = cell;
      const deletes = random.chance(0.2);
      changes.push(deletes ? { type: 'delete', schema, table, pk, hlc } : cell);
    }
    return { migrations: [], changes };
  }

  /** Never a refused one beside DDL: whether that goes with it is not what is asked here. */
  #cell(table: string, mayBeForbidden = false): WireChange {
    const { random, number, rules } = this.#options;
    const pk = [random.chance(0.5) ? random.integer(1, 4) : number * 10 + random.integer(0, 3)];
    const isForbidden = mayBeForbidden && random.chance(0.08);
    const plain = `${number}/${++this.#values}`;
    const marked = mayBeForbidden ? markedValue(random, rules, plain, pk[0] ?? 0) : plain;
    const value = isForbidden ? 'forbidden' : marked;
    const column = random.pick(['x', 'y']);
    return { type: 'column', schema: 'main', table, pk, column, value, hlc: UNDATED };
  }

  /** Of a row that is nowhere, and often of a table that nobody has heard of. */
  #forbiddenDelete(catalog: Pick<TableView, 'has' | 'tables'>): Deed {
    const { random } = this.#options;
    const unknown = `nobody-${random.integer(1, 3)}`;
    const table = random.pick([unknown, unknown, ...catalog.tables()]);
    const change = { schema: 'main', table, pk: [...FORBIDDEN_PK], hlc: UNDATED };
    return { migrations: [], changes: [{ type: 'delete', ...change }] };
  }

  #fill(): Deed {
    const changes: WireChange[] = [];
    for (let i = 0; i < BULK_ROWS_PER_SET; i++) {
      const pk = [1000 + this.#bulkRows++];
      const cell = { schema: 'main', table: 'big', pk, column: 'x', value: this.#bulkRows };
      changes.push({ type: 'column', ...cell, hlc: UNDATED });
    }
    return { migrations: [], changes };
  }
}
