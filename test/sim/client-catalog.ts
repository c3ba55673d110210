/**
 * The tables of a device as today's client keeps them: it carries out the DDL of a message before
 * its data, in the order of HLCs; a drop takes the local table with all that is in it; a rename
 * onto a name that is in use fails for good; and changes to a table that is not there are kept
 * aside until a CREATE or RENAME brings that name.
 *
 * It knows nothing of the coordinator, and so tells what a device makes of what it is sent.
 */

import assert from 'node:assert/strict';
import { compareHlc, HLC_MIN, maxHlc } from '../../src/clock/hlc.ts';
import { hlcSite } from '../../src/clock/site-id.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../src/protocol/schemas.ts';
import { pkIdentity } from '../../src/protocol/values.ts';
import { Replica } from '../support/replica.ts';
import { isManaged, isNeverDropped } from './table-names.ts';

type Contents = Record<string, Record<string, unknown>>;

interface LocalTable {
  /** Its rows under the name '': the name is the table's, and may change. */
  replica: Replica;
  /** What the device has itself written to it. */
  own: WireChange[];
  /** Of the DDL that brought it to its name. */
  since: string;
}

/** Of the chunks of a snapshot what is looked at. */
interface Chunk {
  type?: string;
  schema?: string;
  table?: string;
  migration?: WireMigration;
  entries?: { pk: unknown[]; hlc: string; column?: string; value?: unknown }[];
}

export interface ClientCatalogOptions {
  name: string;
  /** Whether a collision is a fault of the coordinator's, or may be the devices' own. */
  mayCollide: boolean;
  /** Whether rows may come to the coordinator before the DDL of their table: nobody has that yet. */
  mayLackDdl: boolean;
}

const OF_WHOLE_TABLES: ReadonlySet<string> = new Set([
  'create_table',
  'drop_table',
  'rename_table',
]);

export class ClientCatalog {
  /** Changes to tables that are not there. */
  held: WireChange[] = [];
  /**
   * Keys of rows that the device may have otherwise than everybody else, through what it did itself
   * without having heard of the others: see where they are added.
   */
  readonly strayed = new Set<string>();
  readonly #options: ClientCatalogOptions;
  readonly #tables = new Map<string, LocalTable>();
  /** The newest HLC that was carried out, by slot. */
  readonly #slots = new Map<string, string>();
  /** Names that DDL has spoken of. */
  readonly #spokenOf = new Set<string>();
  /** Names of its own DDL that has not been acknowledged, by HLC. */
  readonly #unacknowledged = new Map<string, string[]>();
  #isBroken = false;

  constructor(options: ClientCatalogOptions) {
    this.#options = options;
  }

  /** Whether it goes on: a client of today that met a collision does not. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  tables(): string[] {
    return [...this.#tables.keys()].sort();
  }

  has(table: string): boolean {
    return this.#tables.has(table);
  }

  hasHeardOf(table: string): boolean {
    return this.#spokenOf.has(table);
  }

  // — what its user does

  /** @param changes what the device holds of it: it may know that some are refused */
  write({ schemaMigrations }: WireChangeSet, changes: readonly WireChange[]): void {
    for (const migration of schemaMigrations.filter(({ table }) => isManaged(table))) {
      const { table, fromTable = table } = migration;
      this.#unacknowledged.set(migration.hlc, [table, fromTable]);
      this.#carryOut(migration);
    }
    for (const change of changes) {
      const table = this.#tables.get(change.table);
      if (table === undefined) continue;
      table.replica.apply([asSet(change)]);
      table.own.push(change);
    }
  }

  acknowledged({ schemaMigrations }: WireChangeSet): void {
    for (const { hlc } of schemaMigrations) this.#unacknowledged.delete(hlc);
  }

  // — what it hears

  /** One message. */
  take(changeSets: readonly WireChangeSet[]): void {
    if (this.#isBroken) return;
    const came = this.#takeDdl(changeSets.flatMap(({ schemaMigrations }) => schemaMigrations));
    if (this.#isBroken) return;
    const managed = changeSets.flatMap(({ changes }) =>
      changes.filter(({ table }) => isManaged(table)),
    );
    const touched = new Set([...this.#unacknowledged.values()].flat());
    for (const change of managed) {
      // Sent before the coordinator heard of this device's own DDL, it says the name of before.
      if (touched.has(change.table)) this.strayed.add(pkIdentity(change.pk));
      if (!this.#merge(change)) this.held.push(change);
    }
    this.held = this.held.filter((change) => !came.has(change.table) || !this.#merge(change));
  }

  /**
   * It begins with nothing but this: DDL, cells, and more of both where a snapshot that was cut went
   * on. Cells of a table that the DDL before them does not bring are a fault.
   */
  bootstrap(chunks: Iterable<object>): void {
    let ddl: WireMigration[] = [];
    for (const { type, schema, table = '', migration, entries } of chunks as Iterable<Chunk>) {
      if (migration !== undefined) {
        ddl.push(migration);
        continue;
      }
      this.#takeDdl(ddl);
      ddl = [];
      if (!isManaged(table) || (type !== 'column-versions' && type !== 'tombstone')) continue;
      const local = this.#tables.get(table);
      const { name, mayLackDdl } = this.#options;
      const isLacking = mayLackDdl && !this.hasHeardOf(table);
      assert.ok(local ?? isLacking, `${name}: ${type} of ${table}, which no DDL brings`);
      local?.replica.load([{ type, schema, table: '', entries }]);
    }
    this.#takeDdl(ddl);
  }

  newestDdlOf(siteId: string): string {
    const own = [...this.#slots.values()].filter((hlc) => hlcSite(hlc) === siteId);
    return own.reduce(maxHlc, HLC_MIN);
  }

  /**
   * Puts what it has written, and has not been answered, on top of a snapshot. What the DDL of the
   * snapshot has taken from under it can't be placed.
   * @param known the newest HLC of its own DDL that the snapshot holds
   */
  writeAgain(set: WireChangeSet, changes: readonly WireChange[], known: string): void {
    // It sends its own in order: what is older than some that came back is in the snapshot, or made
    // meaningless there by what came after it.
    const isNew = ({ hlc }: WireMigration) => compareHlc(hlc, known) > 0;
    this.write({ ...set, schemaMigrations: set.schemaMigrations.filter(isNew) }, []);
    for (const change of changes) {
      if (!isManaged(change.table)) continue;
      if (this.#isOvertaken(change)) this.strayed.add(pkIdentity(change.pk));
      else this.write({ ...set, schemaMigrations: [] }, [change]);
    }
  }

  /** Whether the name has come to mean another table since, as far as is known here. */
  #isOvertaken({ table, hlc }: WireChange): boolean {
    const local = this.#tables.get(table);
    if (local === undefined) return true;
    return !isNeverDropped(table) && compareHlc(local.since, hlc) > 0;
  }

  #takeDdl(migrations: readonly WireMigration[]): Set<string> {
    const came = new Set<string>();
    const managed = migrations.filter(({ table }) => isManaged(table));
    for (const migration of managed.sort((a, b) => compareHlc(a.hlc, b.hlc))) {
      if (!this.#carryOut(migration)) continue;
      if (/^(create|rename)_table$/.test(migration.type)) came.add(migration.table);
    }
    return came;
  }

  /** @returns whether it was new here */
  #carryOut({ type, schema, table, fromTable, schemaVersion, hlc }: WireMigration): boolean {
    const kind = type.endsWith('_index') ? 'index' : 'table';
    const slot = JSON.stringify([schema, kind, table, schemaVersion]);
    const known = this.#slots.get(slot);
    if (known !== undefined && compareHlc(hlc, known) <= 0) return false;
    this.#slots.set(slot, hlc);
    // A rename of what no DDL has made: the coordinator takes it for a table of which only rows tell. A
    // device may be asked for it before it has pushed what made the table.
    const isOfRows = type === 'rename_table' && !this.#spokenOf.has(fromTable ?? table);
    // Of a table that is made out of sight, its columns may be told of.
    if (OF_WHOLE_TABLES.has(type) && !isOfRows) this.#spokenOf.add(table).add(fromTable ?? table);
    // It takes the place of whatever had the name before.
    if (isOfRows) this.#spokenOf.delete(table);
    if (type === 'create_table' && !this.#tables.has(table)) {
      this.#tables.set(table, { replica: new Replica(), own: [], since: hlc });
    }
    if (type === 'drop_table') this.#drop(table, hlc);
    if (type === 'rename_table' && fromTable !== undefined) this.#rename(fromTable, table, hlc);
    return true;
  }

  #drop(table: string, hlc: string): void {
    // What it wrote after the drop, unaware of it, goes all the same; and it is not told of its own.
    this.#stray(this.#tables.get(table), hlc);
    this.#tables.delete(table);
  }

  #rename(from: string, to: string, hlc: string): void {
    const table = this.#tables.get(from);
    if (table === undefined || from === to) return;
    if (this.#tables.has(to)) {
      const { name, mayCollide } = this.#options;
      assert.ok(mayCollide, `${name}: a collision: ${from} is renamed to ${to}, which is there`);
      this.#isBroken = true;
      return;
    }
    // What it wrote after the rename, unaware of it, may belong to a table that was made since.
    this.#stray(table, hlc);
    this.#tables.delete(from);
    this.#tables.set(to, { ...table, since: hlc });
  }

  #stray(table: LocalTable | undefined, after: string): void {
    for (const { hlc, pk } of table?.own ?? []) {
      if (compareHlc(hlc, after) > 0) this.strayed.add(pkIdentity(pk));
    }
  }

  /** @returns whether its table is there */
  #merge(change: WireChange): boolean {
    const table = this.#tables.get(change.table);
    table?.replica.apply([asSet(change)]);
    return table !== undefined;
  }

  /** What an application would read, as `Replica.contents` has it. */
  contents(): Contents {
    const contents: Contents = {};
    for (const name of this.tables()) {
      const rows = this.#tables.get(name)?.replica.contents() ?? {};
      for (const [key, cells] of Object.entries(rows)) {
        const [schema, , pk] = JSON.parse(key);
        contents[JSON.stringify([schema, name, pk])] = cells;
      }
    }
    return contents;
  }
}

/** A change as the replica of its table takes it. */
function asSet(change: WireChange): WireChangeSet {
  const changes = [{ ...change, table: '' }];
  return { siteId: '', transactionId: '', hlc: change.hlc, changes, schemaMigrations: [] };
}
