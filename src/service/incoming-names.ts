/**
 * Asks whether what a client writes may be stored under every name of the table that it goes to. Rules go
 * by names, and what is written under a former name of a table goes to that table: what is refused
 * under one of them is refused.
 */

import { encodeHlc } from '../clock/hlc.ts';
import { isOfIndex } from '../engine/records/table-record.ts';
import type { TableAliases } from '../engine/tables/table-aliases.ts';
import { tablesInDdl } from '../hooks/ddl-tables.ts';
import type { ValidationResult } from '../hooks/types.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../protocol/schemas.ts';
import {
  type Change,
  type ChangeSet,
  decodeChange,
  encodeChange,
  encodeMigration,
  type RejectedChange,
  type SchemaMigration,
} from '../protocol/types.ts';
import { untouchedOrigin } from '../wire/lazy-change-set.ts';

type Ask = (changeSets: readonly ChangeSet[]) => Promise<ValidationResult>;

/** What has more other names than these is refused: each costs another question. */
const OTHER_NAMES_MAX = 64;

/** A name of a table in what was written, and another one of the same table. */
interface OtherName {
  name: string;
  other: string;
  /** It stands in the text of DDL of another table. */
  isInText: boolean;
}

/**
 * @param verdict on what was written, as it came
 * @param aliases of the tables that it is about to go to
 */
export async function judgeUnderAllNames(
  verdict: ValidationResult,
  aliases: TableAliases,
  ask: Ask,
): Promise<ValidationResult> {
  const finder = new NameFinder(aliases);
  let { approved, rejected } = verdict;
  for (let i = 0; ; i++) {
    const concerned = approved.filter((set) => finder.hasOther(set, i));
    if (concerned.length === 0) return { approved, rejected };
    const renamed = new Map(concerned.map((set) => [set, new RenamedSet(set, finder, i)]));
    const answer =
      i < OTHER_NAMES_MAX
        ? await ask([...renamed.values()].map(({ set }) => set))
        : { approved: [], rejected: [] };
    const left = new Left(answer.approved);
    approved = approved.flatMap((set) => renamed.get(set)?.restore(left) ?? [set]);
    const sets = [...renamed.values()];
    rejected = [...rejected, ...answer.rejected.map((said) => underWrittenName(said, sets))];
  }
}

function underWrittenName(said: RejectedChange, sets: readonly RenamedSet[]): RejectedChange {
  const { table } = said;
  if (table === undefined) return said;
  const written = sets.map(({ written }) => written.get(table)).find((name) => name !== undefined);
  return written === undefined ? said : { ...said, table: written };
}

class NameFinder {
  readonly #aliases: TableAliases;

  constructor(aliases: TableAliases) {
    this.#aliases = aliases;
  }

  /** Whether anything in it has an `i`th other name; nothing is decoded for that. */
  hasOther(set: ChangeSet, i: number): boolean {
    const { changes, schemaMigrations } = untouchedOrigin(set) ?? toWire(set);
    return (
      changes.some((change) => this.ofChange(change)[i] !== undefined) ||
      schemaMigrations.some((migration) => this.ofMigration(migration)[i] !== undefined)
    );
  }

  ofChange(change: WireChange): readonly string[] {
    return this.#aliases.ofWritten(change);
  }

  ofMigration(migration: WireMigration): readonly OtherName[] {
    const { schema, table, fromTable = table, hlc, ddl } = migration;
    const own = isOfIndex(migration) ? [] : [...new Set([table, fromTable])];
    const found = own.flatMap((name) =>
      this.#aliases
        .ofWritten({ schema, table: name, hlc })
        .map((other) => ({ name, other, isInText: false })),
    );
    const ownFolded = new Set(own.map((name) => name.toLowerCase()));
    for (const name of tablesInDdl(ddl).names) {
      if (ownFolded.has(name)) continue;
      for (const other of this.#aliases.ofFolded(name)) found.push({ name, other, isInText: true });
    }
    return found;
  }
}

function toWire(set: ChangeSet): Pick<WireChangeSet, 'changes' | 'schemaMigrations'> {
  return {
    changes: set.changes.map(encodeChange),
    schemaMigrations: set.schemaMigrations.map(encodeMigration),
  };
}

/** A change set as it would be, had its tables been called by their `i`th other names. */
class RenamedSet {
  readonly #origin: ChangeSet;
  readonly #changes: readonly Renamed<Change>[];
  readonly #migrations: readonly Renamed<SchemaMigration>[];
  /** By the other name, what was written. */
  readonly written = new Map<string, string>();
  readonly set: ChangeSet;

  constructor(origin: ChangeSet, finder: NameFinder, i: number) {
    this.#origin = origin;
    this.#changes = origin.changes.map((item) => {
      const wire = encodeChange(item);
      const table = finder.ofChange(wire)[i];
      if (table !== undefined) this.written.set(table, item.table);
      // Decoded anew: the hook may change in place what it is asked about.
      const asked = { ...decodeChange(wire), table: table ?? item.table };
      return { item, asked, key: changeKey(asked), isRenamed: table !== undefined };
    });
    this.#migrations = origin.schemaMigrations.map((item) => {
      const found = finder.ofMigration(encodeMigration(item))[i];
      const asked = found === undefined ? { ...item } : withOtherName(item, found);
      if (found !== undefined) this.written.set(asked.table, item.table);
      return { item, asked, key: migrationKey(asked), isRenamed: found !== undefined };
    });
    const { siteId, transactionId, hlc } = origin;
    const changes = this.#changes.map(({ asked }) => asked);
    const schemaMigrations = this.#migrations.map(({ asked }) => asked);
    this.set = { siteId, transactionId, hlc, changes, schemaMigrations };
  }

  restore(left: Left): ChangeSet[] {
    const changes = this.#changes.flatMap(({ item, key, isRenamed }) => {
      const answered = left.take(key);
      if (answered === undefined) return [];
      // What a hook made of the value holds.
      return isRenamed ? [{ ...(answered as Change), table: item.table }] : [item];
    });
    const schemaMigrations = this.#migrations.flatMap(({ item, key }) =>
      left.take(key) === undefined ? [] : [item],
    );
    if (changes.length + schemaMigrations.length === 0) return [];
    return [{ ...this.#origin, changes, schemaMigrations }];
  }
}

interface Renamed<Item> {
  item: Item;
  asked: Item;
  /** Of `asked` as it was when the hook got it. */
  key: string;
  isRenamed: boolean;
}

function withOtherName(
  migration: SchemaMigration,
  { name, other, isInText }: OtherName,
): SchemaMigration {
  // Before the text: an open comment at its end would hide what comes after it.
  if (isInText) {
    const named = `ALTER TABLE "${other.replaceAll('"', '""')}"`;
    return { ...migration, ddl: `${named};\n${migration.ddl}` };
  }
  if (migration.fromTable === name) return { ...migration, fromTable: other };
  return { ...migration, table: other };
}

/** What an answer left, each of it to be taken once. */
class Left {
  readonly #byKey = new Map<string, (Change | SchemaMigration)[]>();

  constructor(changeSets: readonly ChangeSet[]) {
    for (const { changes, schemaMigrations } of changeSets) {
      for (const change of changes) this.#add(changeKey(change), change);
      for (const migration of schemaMigrations) this.#add(migrationKey(migration), migration);
    }
  }

  #add(key: string, item: Change | SchemaMigration): void {
    const known = this.#byKey.get(key);
    if (known === undefined) this.#byKey.set(key, [item]);
    else known.push(item);
  }

  take(key: string): Change | SchemaMigration | undefined {
    return this.#byKey.get(key)?.shift();
  }
}

function changeKey(change: Change): string {
  const { schema, table, pk, type, hlc } = encodeChange(change);
  return JSON.stringify([
    hlc,
    schema,
    table,
    pk,
    type === 'column' && Reflect.get(change, 'column'),
  ]);
}

function migrationKey({ hlc, type, schema, table, fromTable, ddl }: SchemaMigration): string {
  return JSON.stringify([encodeHlc(hlc), type, schema, table, fromTable ?? 0, ddl]);
}
