/**
 * Asks the modules about a client's changes under every name of the table that they go to. Rules go
 * by names, and a change under a former name goes to the same table: it is refused if it is refused
 * under one of the names.
 */

import { isOfIndex } from '../engine/records/table-record.ts';
import type { TableAliases } from '../engine/tables/table-aliases.ts';
import { tablesInDdl } from '../hooks/ddl-tables.ts';
import { isChange, itemsOf, type WireItem } from '../hooks/given-back.ts';
import { Lineage } from '../hooks/lineage.ts';
import type { Judged } from '../hooks/verdict-on-changes.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../protocol/schemas.ts';
import type { RejectedChange } from '../protocol/types.ts';
import { isLeftAlone } from './corrections.ts';

type Ask = (changeSets: readonly WireChangeSet[]) => Promise<Judged>;

/**
 * A change to a table with more other names is refused, since each name costs a call of the
 * modules.
 */
const OTHER_NAMES_MAX = 64;

/** A table name as written, and another name of the same table. */
interface OtherName {
  name: string;
  other: string;
  /** The name is in the text of another table's DDL. */
  isInText: boolean;
}

/** The changes that may be stored, and their lineage. */
export interface JudgedUnderAll {
  approved: readonly WireChangeSet[];
  lineage: Lineage;
}

/**
 * @param verdict the modules' answer under the names as written
 * @param aliases of the database that the changes go to
 */
export async function judgeUnderAllNames(
  verdict: Judged,
  aliases: TableAliases,
  ask: Ask,
): Promise<JudgedUnderAll> {
  const finder = new NameFinder(aliases);
  const { lineage } = verdict;
  let { approved } = verdict;
  if (aliases.areNone) return { approved, lineage };
  for (let i = 0; ; i++) {
    const concerned = approved.filter((set) => finder.hasOther(set, i));
    if (concerned.length === 0) return { approved, lineage };
    const renamed = new Map(concerned.map((set) => [set, new RenamedSet(set, finder, i)]));
    const sets = [...renamed.values()];
    const judged = i < OTHER_NAMES_MAX ? await ask(sets.map(({ set }) => set)) : NOTHING;
    const left = new Left(judged);
    approved = approved.flatMap((set) => renamed.get(set)?.restore(left, lineage) ?? [set]);
    for (const hint of judged.lineage.hints) lineage.addHint(underWrittenName(hint, sets));
  }
}

const NOTHING: Judged = { approved: [], rejected: [], lineage: new Lineage() };

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

  /** Whether an item of the set has an `i`th other name. */
  hasOther({ changes, schemaMigrations }: WireChangeSet, i: number): boolean {
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

/** A change set under the `i`th other names of its tables. */
class RenamedSet {
  readonly #origin: WireChangeSet;
  readonly #renamed: readonly Renamed[];
  /** From the other name to the written one. */
  readonly written = new Map<string, string>();
  readonly set: WireChangeSet;

  constructor(origin: WireChangeSet, finder: NameFinder, i: number) {
    this.#origin = origin;
    const changes = origin.changes.map((item) => {
      const table = finder.ofChange(item)[i];
      if (table !== undefined) this.written.set(table, item.table);
      return {
        item,
        asked: { ...item, table: table ?? item.table },
        isRenamed: table !== undefined,
      };
    });
    const migrations = origin.schemaMigrations.map((item) => {
      const found = finder.ofMigration(item)[i];
      const asked = found === undefined ? { ...item } : withOtherName(item, found);
      if (found !== undefined) this.written.set(asked.table, item.table);
      return { item, asked, isRenamed: found !== undefined };
    });
    this.#renamed = [...changes, ...migrations];
    this.set = {
      ...origin,
      changes: changes.map(({ asked }) => asked),
      schemaMigrations: migrations.map(({ asked }) => asked),
    };
  }

  restore(left: Left, lineage: Lineage): WireChangeSet[] {
    const changes: WireChange[] = [];
    const schemaMigrations: WireMigration[] = [];
    for (const renamed of this.#renamed) {
      const { item, asked } = renamed;
      const restored = restore(renamed, left.answerTo(asked));
      if (restored === undefined) lineage.reject(item, left.reasonFor(asked));
      else {
        lineage.replace(item, restored);
        if (isChange(restored)) changes.push(restored);
        else schemaMigrations.push(restored);
      }
    }
    if (changes.length + schemaMigrations.length === 0) return [];
    return [{ ...this.#origin, changes, schemaMigrations }];
  }
}

interface Renamed {
  item: WireItem;
  /** The item under its other name, or as it is if it has none. */
  asked: WireItem;
  isRenamed: boolean;
}

/** What is stored for an item, after the modules' answer for it under another name. */
function restore({ item, asked, isRenamed }: Renamed, back: WireItem | undefined) {
  if (back === undefined) return undefined;
  // It was included only as a part of its transaction.
  if (!isRenamed || isLeftAlone(asked, back)) return item;
  // A rewritten row is taken over. Rewritten DDL, or a row moved to another table, cannot be.
  if (!isChange(item) || !isChange(back)) return undefined;
  const isThere = back.table === asked.table && back.schema === asked.schema;
  return isThere ? { ...back, table: item.table } : undefined;
}

function withOtherName(
  migration: WireMigration,
  { name, other, isInText }: OtherName,
): WireMigration {
  // Before the text: an open comment at its end would hide what comes after it.
  if (isInText) {
    const named = `ALTER TABLE "${other.replaceAll('"', '""')}"`;
    return { ...migration, ddl: `${named};\n${migration.ddl}` };
  }
  if (migration.fromTable === name) return { ...migration, fromTable: other };
  return { ...migration, table: other };
}

/** The items that are left in an answer. */
class Left {
  readonly #lineage: Lineage;
  readonly #answers = new Map<WireItem, WireItem>();

  constructor({ approved, lineage }: Judged) {
    this.#lineage = lineage;
    for (const item of approved.flatMap(itemsOf)) this.#answers.set(lineage.originalOf(item), item);
  }

  answerTo(asked: WireItem): WireItem | undefined {
    return this.#answers.get(asked);
  }

  reasonFor(asked: WireItem) {
    return this.#lineage.reasonOf(asked);
  }
}
