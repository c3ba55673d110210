/**
 * Applies a client's read filter under every name that a table has had. Filters go by names, and
 * DDL renames tables: what is hidden or masked under one name of a table is so under all of them.
 */

import { OTHER_NAMES_MAX, type TableAliases } from '../../engine/tables/table-aliases.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import { forEach, runByTurns, type Steps, Stretch } from '../../wire/steps.ts';

/** Filters change sets. It returns the same object for a change set of which everything is left. */
type Ask = (changeSets: readonly WireChangeSet[]) => Promise<readonly WireChangeSet[]>;

/**
 * In turns with other work. What the filter leaves alone costs next to nothing under each name.
 * @param changeSets with distinct HLCs
 */
export async function askUnderAllNames(
  changeSets: readonly WireChangeSet[],
  aliases: TableAliases,
  ask: Ask,
): Promise<readonly WireChangeSet[]> {
  const stretch = new Stretch();
  let left = await runByTurns(nameAll(await ask(changeSets), aliases, stretch));
  for (let i = 0; ; i++) {
    const asked = await runByTurns(renameAll(left, i, stretch));
    if (asked.size === 0) return left.map(({ set }) => set);
    const answers = new Map((await ask([...asked.values()])).map((set) => [set.hlc, set]));
    left = await runByTurns(keepAnswered(left, { i, asked, answers }, stretch));
  }
}

/** The other names of a table. Items of one table share the list. */
type Names = readonly string[];

/** A change set, and for each of its items the other names of its table. */
interface NamedSet {
  set: WireChangeSet;
  ofChanges: readonly Names[];
  ofMigrations: readonly Names[];
  /** The most other names that an item has. */
  most: number;
}

/** Collects what is left of a change set. */
class Kept {
  readonly #origin: WireChangeSet;
  readonly #changes: WireChange[] = [];
  readonly #migrations: WireMigration[] = [];
  readonly #ofChanges: Names[] = [];
  readonly #ofMigrations: Names[] = [];
  #most = 0;
  #isSame = true;

  constructor(origin: WireChangeSet) {
    this.#origin = origin;
  }

  addChange(change: WireChange, names: Names): void {
    if (change !== this.#origin.changes[this.#changes.length]) this.#isSame = false;
    this.#changes.push(change);
    this.#ofChanges.push(names);
    this.#most = Math.max(this.#most, names.length);
  }

  addMigration(migration: WireMigration, names: Names): void {
    this.#migrations.push(migration);
    this.#ofMigrations.push(names);
    this.#most = Math.max(this.#most, names.length);
  }

  /** The change set itself if all of it is kept; an empty list if nothing is. */
  end(): NamedSet[] {
    const [changes, schemaMigrations] = [this.#changes, this.#migrations];
    if (changes.length + schemaMigrations.length === 0) return [];
    const isWhole =
      this.#isSame &&
      changes.length === this.#origin.changes.length &&
      schemaMigrations.length === this.#origin.schemaMigrations.length;
    const set = isWhole ? this.#origin : { ...this.#origin, changes, schemaMigrations };
    const [ofChanges, ofMigrations] = [this.#ofChanges, this.#ofMigrations];
    return [{ set, ofChanges, ofMigrations, most: this.#most }];
  }
}

/** Leaves out what has too many names to be asked about. */
function* nameAll(
  changeSets: readonly WireChangeSet[],
  aliases: TableAliases,
  stretch: Stretch,
): Steps<NamedSet[]> {
  const left: NamedSet[] = [];
  for (const set of changeSets) {
    const kept = new Kept(set);
    const nameChange = (change: WireChange) => {
      const names = aliases.ofTable(change);
      if (names.length <= OTHER_NAMES_MAX) kept.addChange(change, names);
    };
    const nameMigration = (migration: WireMigration) => {
      const names = aliases.ofMigration(migration);
      if (names.length <= OTHER_NAMES_MAX) kept.addMigration(migration, names);
    };
    yield* forEach(set.changes, nameChange, stretch);
    yield* forEach(set.schemaMigrations, nameMigration, stretch);
    left.push(...kept.end());
  }
  return left;
}

/** The parts of change sets that are in tables with an `i`th other name, under that name. */
function* renameAll(
  left: readonly NamedSet[],
  i: number,
  stretch: Stretch,
): Steps<Map<NamedSet, WireChangeSet>> {
  const renamed = new Map<NamedSet, WireChangeSet>();
  for (const named of left) {
    if (i < named.most) renamed.set(named, yield* rename(named, i, stretch));
    if (stretch.ends(1 / 16)) yield;
  }
  return renamed;
}

function* rename(
  { set, ofChanges, ofMigrations }: NamedSet,
  i: number,
  stretch: Stretch,
): Steps<WireChangeSet> {
  const schemaMigrations: WireMigration[] = [];
  const renameMigration = (migration: WireMigration, at: number) => {
    const table = ofMigrations[at]?.[i];
    if (table !== undefined) schemaMigrations.push({ ...migration, table });
  };
  yield* forEach(set.schemaMigrations, renameMigration, stretch);
  const renameChanges = () =>
    set.changes.flatMap((change, at) => {
      const table = ofChanges[at]?.[i];
      return table === undefined ? [] : { ...change, table };
    });
  let changes: WireChange[] | undefined;
  return {
    ...set,
    // Made once a module looks at them.
    get changes() {
      changes ??= renameChanges();
      return changes;
    },
    schemaMigrations,
  };
}

/** What was asked under the `i`th other names, and the answers by HLC. */
interface Round {
  i: number;
  asked: ReadonlyMap<NamedSet, WireChangeSet>;
  answers: ReadonlyMap<string, WireChangeSet>;
}

function* keepAnswered(
  before: readonly NamedSet[],
  { i, asked, answers }: Round,
  stretch: Stretch,
): Steps<NamedSet[]> {
  const left: NamedSet[] = [];
  for (const named of before) {
    const question = asked.get(named);
    const answer = answers.get(named.set.hlc);
    if (question === undefined || answer === question) left.push(named);
    else left.push(...(yield* keepOf(named, i, { question, answer }, stretch)));
    if (stretch.ends(1 / 16)) yield;
  }
  return left;
}

function* keepOf(
  { set, ofChanges, ofMigrations }: NamedSet,
  i: number,
  { question, answer }: { question: WireChangeSet; answer: WireChangeSet | undefined },
  stretch: Stretch,
): Steps<NamedSet[]> {
  const kept = new Kept(set);
  let [nextAsked, nextAnswered] = [0, 0];
  const keepChange = (change: WireChange, at: number) => {
    const names = ofChanges[at] ?? [];
    if (names[i] === undefined) return kept.addChange(change, names);
    const asked = question.changes[nextAsked++];
    const answered = answer?.changes[nextAnswered];
    // The answer is in the order of the question.
    if (asked === undefined || answered === undefined || !isSame(answered, asked)) return;
    nextAnswered++;
    kept.addChange(withValueOf(change, asked, answered), names);
  };
  yield* forEach(set.changes, keepChange, stretch);
  const migrationsLeft = new Set<WireMigration | undefined>(answer?.schemaMigrations);
  let nextMigration = 0;
  const keepMigration = (migration: WireMigration, at: number) => {
    const names = ofMigrations[at] ?? [];
    if (names[i] === undefined || migrationsLeft.has(question.schemaMigrations[nextMigration++])) {
      kept.addMigration(migration, names);
    }
  };
  yield* forEach(set.schemaMigrations, keepMigration, stretch);
  return kept.end();
}

/** Compares all but the value, which may be masked. */
function isSame(a: WireChange, b: WireChange): boolean {
  if (a === b) return true;
  if (a.type !== 'column' || b.type !== 'column' || a.column !== b.column) return false;
  return a.hlc === b.hlc && a.pk === b.pk && a.table === b.table && a.schema === b.schema;
}

function withValueOf(change: WireChange, asked: WireChange, answered: WireChange): WireChange {
  if (asked === answered || change.type !== 'column' || answered.type !== 'column') return change;
  return { ...change, value: answered.value };
}
