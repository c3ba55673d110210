/**
 * Asks whether what a client writes may be stored under every name of the table that it goes to. Rules go
 * by names, and what is written under a former name of a table goes to that table: what is refused
 * under one of them is refused.
 */

import { isOfIndex } from '../engine/records/table-record.ts';
import type { TableAliases } from '../engine/tables/table-aliases.ts';
import { tablesInDdl } from '../hooks/ddl-tables.ts';
import { isChange, itemsOf, type WireItem } from '../hooks/given-back.ts';
import { Lineage } from '../hooks/lineage.ts';
import type { Judged } from '../hooks/verdict-on-changes.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../protocol/schemas.ts';
import { type ChangeSet, encodeChangeSet, type RejectedChange } from '../protocol/types.ts';
import { decodeLazily, untouchedOrigin } from '../wire/lazy-change-set.ts';
import { isLeftAlone } from './corrections.ts';

type Ask = (changeSets: readonly ChangeSet[]) => Promise<Judged>;

/** What has more other names than these is refused: each costs another question. */
const OTHER_NAMES_MAX = 64;

/** A name of a table in what was written, and another one of the same table. */
interface OtherName {
  name: string;
  other: string;
  /** It stands in the text of DDL of another table. */
  isInText: boolean;
}

/** What may be stored, and how it came to that. */
export interface JudgedUnderAll {
  approved: readonly WireChangeSet[];
  lineage: Lineage;
}

/**
 * @param verdict on what was written, as it came
 * @param aliases of the tables that it is about to go to
 */
export async function judgeUnderAllNames(
  verdict: Judged,
  aliases: TableAliases,
  ask: Ask,
): Promise<JudgedUnderAll> {
  const finder = new NameFinder(aliases);
  const { lineage } = verdict;
  let approved = verdict.approved.map((set) => untouchedOrigin(set) ?? encodeChangeSet(set));
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

  /** Whether anything in it has an `i`th other name. */
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

/** A change set as it would be, had its tables been called by their `i`th other names. */
class RenamedSet {
  readonly #origin: WireChangeSet;
  readonly #renamed: readonly Renamed[];
  /** By the other name, what was written. */
  readonly written = new Map<string, string>();
  readonly set: ChangeSet;

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
    this.set = decodeLazily({
      ...origin,
      changes: changes.map(({ asked }) => asked),
      schemaMigrations: migrations.map(({ asked }) => asked),
    });
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
  /** The same under another name, where it has one. */
  asked: WireItem;
  isRenamed: boolean;
}

/** What is to be stored in the place of an item, going by what modules have made of it under another name. */
function restore({ item, asked, isRenamed }: Renamed, back: WireItem | undefined) {
  if (back === undefined) return undefined;
  // It was only asked about since it belongs to the rest of its transaction.
  if (!isRenamed || isLeftAlone(asked, back)) return item;
  // What a hook made of the row holds; what it made of DDL, and other tables, can't be told back.
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

/** What an answer left of what it was asked about. */
class Left {
  readonly #lineage: Lineage;
  readonly #answers = new Map<WireItem, WireItem>();

  constructor({ approved, lineage }: Judged) {
    this.#lineage = lineage;
    const sets = approved.map((set) => untouchedOrigin(set) ?? encodeChangeSet(set));
    for (const item of sets.flatMap(itemsOf)) this.#answers.set(lineage.originalOf(item), item);
  }

  answerTo(asked: WireItem): WireItem | undefined {
    return this.#answers.get(asked);
  }

  reasonFor(asked: WireItem) {
    return this.#lineage.reasonOf(asked);
  }
}
