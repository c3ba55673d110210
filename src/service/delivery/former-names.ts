/**
 * Applies a client's read filter under every name that a table has had. Filters go by names, and
 * DDL renames tables: what is hidden or masked under one name of a table is so under all of them.
 */

import { OTHER_NAMES_MAX, type TableAliases } from '../../engine/tables/table-aliases.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import { runByTurns, type Steps, Stretch } from '../../wire/steps.ts';

/** Filters change sets. It returns the same object for a change set of which everything is left. */
type Ask = (changeSets: readonly WireChangeSet[]) => Promise<readonly WireChangeSet[]>;

/**
 * In turns with other work.
 * @param changeSets with distinct HLCs
 */
export async function askUnderAllNames(
  changeSets: readonly WireChangeSet[],
  aliases: TableAliases,
  ask: Ask,
): Promise<readonly WireChangeSet[]> {
  let left: readonly WireChangeSet[] = await runByTurns(
    withoutManyNamed(await ask(changeSets), aliases),
  );
  const stretch = new Stretch();
  for (let i = 0; ; i++) {
    const renamed = await runByTurns(renameAll(left, aliases, i, stretch));
    const asked = renamed.filter(({ isEmpty }) => !isEmpty).map(({ set }) => set);
    if (asked.length === 0) return left;
    const answers = new Map((await ask(asked)).map((answer) => [answer.hlc, answer]));
    left = await runByTurns(keepAnswered(renamed, answers, stretch));
  }
}

function* withoutManyNamed(
  changeSets: readonly WireChangeSet[],
  aliases: TableAliases,
): Steps<WireChangeSet[]> {
  const hasFew = (names: readonly string[]) => names.length <= OTHER_NAMES_MAX;
  const left: WireChangeSet[] = [];
  const stretch = new Stretch();
  for (const set of changeSets) {
    const changes = set.changes.filter((change) => hasFew(aliases.ofTable(change)));
    const migrations = set.schemaMigrations.filter((each) => hasFew(aliases.ofMigration(each)));
    left.push(...kept(set, changes, migrations));
    if (stretch.ends(set.changes.length + set.schemaMigrations.length)) yield;
  }
  return left;
}

function* renameAll(
  changeSets: readonly WireChangeSet[],
  aliases: TableAliases,
  i: number,
  stretch: Stretch,
): Steps<RenamedSet[]> {
  const renamed: RenamedSet[] = [];
  for (const set of changeSets) {
    renamed.push(new RenamedSet(set, aliases, i));
    // Each name of a migration's table is looked up anew.
    if (stretch.ends(set.changes.length + 10 * set.schemaMigrations.length)) yield;
  }
  return renamed;
}

function* keepAnswered(
  renamed: readonly RenamedSet[],
  answers: ReadonlyMap<string, WireChangeSet>,
  stretch: Stretch,
): Steps<WireChangeSet[]> {
  const left: WireChangeSet[] = [];
  for (const each of renamed) {
    left.push(...each.keepAnswered(answers));
    if (stretch.ends(each.set.changes.length + each.set.schemaMigrations.length)) yield;
  }
  return left;
}

/** The change set itself if all of it is kept; an empty list if nothing is. */
function kept(
  set: WireChangeSet,
  changes: WireChange[],
  schemaMigrations: WireMigration[],
): WireChangeSet[] {
  const isSame =
    changes.length === set.changes.length &&
    schemaMigrations.length === set.schemaMigrations.length &&
    changes.every((change, i) => change === set.changes[i]);
  if (isSame) return [set];
  return changes.length + schemaMigrations.length === 0
    ? []
    : [{ ...set, changes, schemaMigrations }];
}

/** The part of a change set that is in tables with an `i`th former name, under that name. */
class RenamedSet {
  readonly #origin: WireChangeSet;
  readonly #changes = new Map<WireChange, WireChange>();
  readonly #migrations = new Map<WireMigration, WireMigration>();
  readonly set: WireChangeSet;

  /** @param i the index of the former name */
  constructor(origin: WireChangeSet, aliases: TableAliases, i: number) {
    this.#origin = origin;
    for (const change of origin.changes) {
      const table = aliases.ofTable(change)[i];
      if (table !== undefined) this.#changes.set(change, { ...change, table });
    }
    for (const migration of origin.schemaMigrations) {
      const table = aliases.ofMigration(migration)[i];
      if (table !== undefined) this.#migrations.set(migration, { ...migration, table });
    }
    const changes = [...this.#changes.values()];
    const schemaMigrations = [...this.#migrations.values()];
    this.set = { ...origin, changes, schemaMigrations };
  }

  get isEmpty(): boolean {
    return this.#changes.size + this.#migrations.size === 0;
  }

  keepAnswered(answers: ReadonlyMap<string, WireChangeSet>): WireChangeSet[] {
    if (this.isEmpty) return [this.#origin];
    const answer = answers.get(this.#origin.hlc);
    if (answer === this.set) return [this.#origin];
    const left = answer?.changes ?? [];
    const migrationsLeft = new Set(answer?.schemaMigrations);
    let next = 0;
    const changes = this.#origin.changes.flatMap((change) => {
      const asked = this.#changes.get(change);
      if (asked === undefined) return [change];
      const answered = left[next];
      // The answer is in the order of the question.
      if (answered === undefined || !isSame(answered, asked)) return [];
      next++;
      return [withValueOf(change, asked, answered)];
    });
    const schemaMigrations = this.#origin.schemaMigrations.filter((migration) => {
      const asked = this.#migrations.get(migration);
      return asked === undefined || migrationsLeft.has(asked);
    });
    return kept(this.#origin, changes, schemaMigrations);
  }
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
