/**
 * Asks the modules about a client's changes under every name of the table that they go to. Rules go
 * by names, and a change under a former name goes to the same table: it is refused if it is refused
 * under one of the names.
 */

import { OTHER_NAMES_MAX, type TableAliases } from '../../engine/tables/table-aliases.ts';
import { Lineage } from '../../hooks/verdicts/lineage.ts';
import { isChange, itemsOf, type WireItem } from '../../hooks/verdicts/returned-changes.ts';
import type { Judged } from '../../hooks/verdicts/verdict-on-changes.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import type { RejectedChange } from '../../protocol/types.ts';
import { forEach, otherWork, runByTurns, type Steps, Stretch } from '../../wire/steps.ts';
import { isLeftAlone } from './corrections.ts';
import { type NamedSet, NameFinder, type OtherName } from './name-finder.ts';

type Ask = (changeSets: readonly WireChangeSet[]) => Promise<Judged>;

/** The changes that may be stored, and their lineage. */
export interface JudgedUnderAll {
  approved: readonly WireChangeSet[];
  lineage: Lineage;
}

/**
 * In turns with other work, and what the modules leave alone costs next to nothing under each name.
 * @param verdict the modules' answer under the names as written
 * @param aliases of the database that the changes go to
 */
export async function judgeUnderAllNames(
  verdict: Judged,
  aliases: TableAliases,
  ask: Ask,
): Promise<JudgedUnderAll> {
  const { lineage } = verdict;
  let { approved } = verdict;
  if (aliases.areNone) return { approved, lineage };
  const finder = new NameFinder(aliases);
  const stretch = new Stretch();
  for (let i = 0; ; i++) {
    const concerned = await runByTurns(finder.withOther(approved, i));
    if (concerned.length === 0) return { approved, lineage };
    const sets = concerned.map((names) => new RenamedSet(names, i));
    const asked = sets.map(({ set }) => set);
    const judged = i < OTHER_NAMES_MAX ? await ask(asked) : NOTHING;
    if (!isSame(judged.approved, asked)) {
      const restored = await runByTurns(restoreAll(sets, judged, lineage));
      approved = approved.flatMap((set) => restored.get(set) ?? [set]);
    }
    for (const hint of judged.lineage.hints) lineage.addHint(underWrittenName(hint, sets));
    if (stretch.ends(concerned.length)) await otherWork();
  }
}

const NOTHING: Judged = { approved: [], rejected: [], lineage: new Lineage() };

function isSame(a: readonly WireChangeSet[], b: readonly WireChangeSet[]): boolean {
  return a.length === b.length && a.every((set, i) => set === b[i]);
}

function underWrittenName(said: RejectedChange, sets: readonly RenamedSet[]): RejectedChange {
  const { table } = said;
  if (table === undefined) return said;
  const written = sets.map((set) => set.writtenFor(table)).find((name) => name !== undefined);
  return written === undefined ? said : { ...said, table: written };
}

/** A change set under the `i`th other names of its tables. */
class RenamedSet {
  readonly #named: NamedSet;
  readonly #i: number;
  readonly set: WireChangeSet;

  constructor(named: NamedSet, i: number) {
    this.#named = named;
    this.#i = i;
    const { origin } = named;
    const renameAll = () => origin.changes.map((item, at) => this.#renamed(item, at));
    let changes: WireChange[] | undefined;
    const schemaMigrations = origin.schemaMigrations.map((item, at) => {
      const found = named.ofMigrations[at]?.[i];
      return found === undefined ? { ...item } : withOtherName(item, found);
    });
    this.set = {
      ...origin,
      // Made once a module looks at them.
      get changes() {
        changes ??= renameAll();
        return changes;
      },
      schemaMigrations,
    };
  }

  get origin(): WireChangeSet {
    return this.#named.origin;
  }

  #renamed(item: WireChange, at: number): WireChange {
    return { ...item, table: this.#named.ofChanges[at]?.[this.#i] ?? item.table };
  }

  /** The written name of a table that was asked for under its other name. */
  writtenFor(table: string): string | undefined {
    const { origin, ofChanges, ofMigrations } = this.#named;
    const i = this.#i;
    const change = origin.changes.find((_item, at) => ofChanges[at]?.[i] === table);
    if (change !== undefined) return change.table;
    const isAsked = (at: number) =>
      ofMigrations[at]?.[i] !== undefined && this.set.schemaMigrations[at]?.table === table;
    return origin.schemaMigrations.find((_item, at) => isAsked(at))?.table;
  }

  *restore(left: Left, lineage: Lineage, stretch: Stretch): Steps<WireChangeSet[]> {
    const { origin, ofChanges, ofMigrations } = this.#named;
    const changes: WireChange[] = [];
    const schemaMigrations: WireMigration[] = [];
    const take = (renamed: Renamed) => {
      const { item, asked } = renamed;
      const restored = restore(renamed, left.answerTo(asked));
      if (restored === undefined) lineage.reject(item, left.reasonFor(asked));
      else {
        lineage.replace(item, restored);
        if (isChange(restored)) changes.push(restored);
        else schemaMigrations.push(restored);
      }
    };
    const takeAll = (
      items: readonly WireItem[],
      asked: readonly WireItem[],
      names: readonly (readonly unknown[])[],
    ) =>
      forEach(
        items,
        (item, at) => {
          const isRenamed = names[at]?.[this.#i] !== undefined;
          take({ item, asked: asked[at] ?? item, isRenamed });
        },
        stretch,
      );
    yield* takeAll(origin.changes, this.set.changes, ofChanges);
    yield* takeAll(origin.schemaMigrations, this.set.schemaMigrations, ofMigrations);
    if (changes.length + schemaMigrations.length === 0) return [];
    return [{ ...origin, changes, schemaMigrations }];
  }
}

/** What is left of each change set. */
function* restoreAll(
  sets: readonly RenamedSet[],
  judged: Judged,
  lineage: Lineage,
): Steps<Map<WireChangeSet, WireChangeSet[]>> {
  const left = new Left(judged);
  yield* left.read();
  const untouched = new Set(judged.approved);
  const restored = new Map<WireChangeSet, WireChangeSet[]>();
  const stretch = new Stretch();
  for (const renamed of sets) {
    if (untouched.has(renamed.set)) continue;
    restored.set(renamed.origin, yield* renamed.restore(left, lineage, stretch));
  }
  return restored;
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
  readonly #judged: Judged;
  readonly #answers = new Map<WireItem, WireItem>();

  constructor(judged: Judged) {
    this.#judged = judged;
  }

  *read(): Steps<void> {
    const { approved, lineage } = this.#judged;
    const add = (item: WireItem) => this.#answers.set(lineage.originalOf(item), item);
    yield* forEach(approved.flatMap(itemsOf), add);
  }

  answerTo(asked: WireItem): WireItem | undefined {
    return this.#answers.get(asked);
  }

  reasonFor(asked: WireItem) {
    return this.#judged.lineage.reasonOf(asked);
  }
}
