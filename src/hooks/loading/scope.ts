/**
 * Limits a module to some databases or tables: all else bypasses it. It can reject only what it
 * sees, but an `atomic` verdict is about the whole transaction.
 */

import { encodeHlc } from '../../clock/hlc.ts';
import type { ApplyResult, ChangeSet } from '../../protocol/types.ts';
import { decodeLazily, undecoded } from '../../wire/lazy-change-set.ts';
import { forEach, runByTurns, type Steps, Stretch } from '../../wire/steps.ts';
import { CallAfterApply } from '../call.ts';
import { InvalidAnswer } from '../invalid-answer.ts';
import { HOOK_NAMES, type HookName } from '../kinds.ts';
import { TableMap, workOnDdl } from '../names/table-list.ts';
import type { ChangeOutcome, CoordinatorHooks, ValidationResult } from '../types.ts';
import { readChangeSets, readValidation, toUnreadVerdict } from '../verdicts/answers.ts';

export interface Scope {
  databases?: readonly string[] | undefined;
  tables?: readonly string[] | undefined;
}

/** The same hooks, limited to a scope. */
export function withinScope(hooks: CoordinatorHooks, { databases, tables }: Scope) {
  const ofTables = tables === undefined ? hooks : aboutTables(hooks, TableMap.of(tables));
  return databases === undefined ? ofTables : aboutDatabases(ofTables, new Set(databases));
}

/** The answers of hooks for what is outside of their scope. */
const PASS: Required<Pick<CoordinatorHooks, HookName>> = {
  onAuthenticate: () => undefined,
  onAuthenticated: () => undefined,
  onAuthorize: () => true,
  onBeforeApplyChanges: (_client, approved) => ({ approved, rejected: [] }),
  onAfterApplyChanges: () => undefined,
  onBeforeSendChanges: (_client, changeSets) => changeSets,
  onClientConnect: () => true,
  onClientHandover: () => undefined,
  onClientDisconnect: () => undefined,
};

type Invoke = (...args: unknown[]) => unknown;

/** Wraps hooks. `invoke` calls a hook as a method, so that a class instance keeps its `this`. */
function mapHooks(hooks: CoordinatorHooks, map: (invoke: Invoke, name: HookName) => Invoke) {
  const mapped: CoordinatorHooks = {};
  for (const name of HOOK_NAMES) {
    const hook: unknown = hooks[name];
    if (typeof hook !== 'function') continue;
    const invoke = (...args: unknown[]): unknown => Reflect.apply(hook, hooks, args);
    Reflect.set(mapped, name, map(invoke, name));
  }
  if (hooks.viewKey !== undefined) mapped.viewKey = (client) => hooks.viewKey?.(client);
  return mapped;
}

function aboutDatabases(hooks: CoordinatorHooks, ids: ReadonlySet<string>): CoordinatorHooks {
  const scoped = mapHooks(hooks, (invoke, name) => (...args) => {
    // The first argument of every hook has the id of the database.
    const isOurs = ids.has(Reflect.get(Object(args[0]), 'databaseId'));
    return isOurs ? invoke(...args) : Reflect.apply(PASS[name], PASS, args);
  });
  const { viewKey } = scoped;
  if (viewKey !== undefined) {
    // In other databases it filters nothing, so all clients have the same key.
    scoped.viewKey = (client) => (ids.has(client.databaseId ?? '') ? viewKey(client) : '');
  }
  return scoped;
}

function aboutTables(hooks: CoordinatorHooks, tables: TableMap<true>): CoordinatorHooks {
  const scoped = mapHooks(hooks, (invoke) => invoke);
  if (hooks.onBeforeApplyChanges !== undefined) {
    scoped.onBeforeApplyChanges = async (client, changeSets, call) => {
      const parts = await runByTurns(Parts.of(changeSets, tables));
      if (parts.seen.length === 0) return PASS.onBeforeApplyChanges(client, changeSets, call);
      const answer = await hooks.onBeforeApplyChanges?.(client, parts.seen, call);
      function* read(): Steps<ValidationResult> {
        const { approved, rejected, atomic } = yield* readValidation(toUnreadVerdict(answer));
        const left = yield* parts.join(approved.map(decodeLazily));
        return { approved: left, rejected, ...(atomic !== undefined && { atomic }) };
      }
      return readOrPass(answer, read());
    };
  }
  if (hooks.onBeforeSendChanges !== undefined) {
    scoped.onBeforeSendChanges = async (client, changeSets, call) => {
      const parts = await runByTurns(Parts.of(changeSets, tables));
      if (parts.seen.length === 0) return changeSets;
      const answer = await hooks.onBeforeSendChanges?.(client, parts.seen, call);
      function* read(): Steps<ChangeSet[]> {
        return yield* parts.join((yield* readChangeSets(answer)).map(decodeLazily));
      }
      return readOrPass(answer, read());
    };
  }
  if (hooks.onAfterApplyChanges !== undefined) {
    scoped.onAfterApplyChanges = async (client, changeSets, result, call) => {
      const { seen } = await runByTurns(Parts.of(changeSets, tables));
      if (call instanceof CallAfterApply) call.keepOutcomes((each) => isAbout(each, tables));
      // Outcomes are made only if changes of its tables may be among those that were not stored.
      const isAllStored = result.rejected === undefined && result.skipped + result.conflicts === 0;
      if (seen.length === 0 && (isAllStored || call.outcomes.length === 0)) return undefined;
      const ofTheirs = withoutOthers(result, tables);
      return hooks.onAfterApplyChanges?.(client, seen, ofTheirs, call);
    };
  }
  return scoped;
}

function isAbout({ change }: ChangeOutcome, tables: TableMap<true>): boolean {
  const isRow = change.type === 'column' || change.type === 'delete';
  return isRow ? tables.get(change) !== undefined : tables.findInMigration(change) !== undefined;
}

/**
 * Keeps entries of other tables out. An entry without a table is about the whole batch, and stays.
 */
function withoutOthers(result: ApplyResult, tables: TableMap<true>): ApplyResult {
  const { rejected = [], conflicting = [], ...counts } = result;
  const said = rejected.filter(({ table }) => table === undefined || tables.hasName(table));
  const lost = conflicting.filter((cell) => tables.get(cell) !== undefined);
  return {
    ...counts,
    ...(said.length > 0 && { rejected: said }),
    ...(lost.length > 0 && { conflicting: lost }),
  };
}

/**
 * Reads an answer. An invalid one is passed on unchanged, so that the chain refuses it as usual.
 */
async function readOrPass<T>(answer: unknown, steps: Steps<T>): Promise<T> {
  try {
    return await runByTurns(steps);
  } catch (error) {
    if (error instanceof InvalidAnswer) return answer as T;
    throw error;
  }
}

interface Part {
  whole: ChangeSet;
  /** What the module sees: the same object, if that is all of it. */
  seen: ChangeSet | undefined;
  /** What it does not see. */
  passed: Pick<ChangeSet, 'changes' | 'schemaMigrations'>;
}

/** Change sets, each divided into the part that a module sees and the rest. */
class Parts {
  readonly #parts: readonly Part[];

  static *of(changeSets: readonly ChangeSet[], tables: TableMap<true>): Steps<Parts> {
    const parts: Part[] = [];
    const stretch = new Stretch();
    for (const whole of changeSets) {
      // Most are not read at all.
      const isSeen = yield* tables.findInSteps([whole]);
      parts.push(isSeen ? yield* cut(whole, tables, stretch) : passing(whole));
      if (stretch.ends(undecoded(whole).changes.length)) yield;
    }
    return new Parts(parts);
  }

  private constructor(parts: readonly Part[]) {
    this.#parts = parts;
  }

  /** The parts that the module sees, in a new array, which it may change. */
  get seen(): ChangeSet[] {
    return this.#parts.flatMap(({ seen }) => (seen === undefined ? [] : [seen]));
  }

  /** Joins the module's answer with the rest, in the original order. */
  *join(left: readonly ChangeSet[]): Steps<ChangeSet[]> {
    const rest = new Set(left);
    const leftByKey = new Map<string, ChangeSet[]>();
    yield* forEach(left, (set) => {
      const key = keyOf(set);
      leftByKey.set(key, [...(leftByKey.get(key) ?? []), set]);
    });
    const joined: ChangeSet[] = [];
    const stretch = new Stretch();
    for (const { whole, seen, passed } of this.#parts) {
      if (seen === undefined) {
        joined.push(whole);
        continue;
      }
      const kept = leftByKey.get(keyOf(whole))?.shift();
      if (kept !== undefined) rest.delete(kept);
      if (seen !== whole) {
        const changes = [...(kept?.changes ?? []), ...passed.changes];
        const ddl = [...(kept?.schemaMigrations ?? []), ...passed.schemaMigrations];
        joined.push({
          ...whole,
          changes: inPlace(whole.changes, changes),
          schemaMigrations: inPlace(whole.schemaMigrations, ddl),
        });
        if (stretch.ends(changes.length)) yield;
      } else if (kept !== undefined) joined.push(kept);
    }
    // Other sets in the answer are checked by the chain as usual.
    return [...joined, ...rest];
  }
}

const NOTHING: Part['passed'] = { changes: [], schemaMigrations: [] };

function passing(whole: ChangeSet): Part {
  return { whole, seen: undefined, passed: NOTHING };
}

function* cut(whole: ChangeSet, tables: TableMap<true>, stretch: Stretch): Steps<Part> {
  const seen: Part['passed'] = { changes: [], schemaMigrations: [] };
  const passed: Part['passed'] = { changes: [], schemaMigrations: [] };
  for (const change of whole.changes) {
    (tables.get(change) === undefined ? passed : seen).changes.push(change);
  }
  for (const migration of whole.schemaMigrations) {
    const isPassed = tables.findInMigration(migration) === undefined;
    (isPassed ? passed : seen).schemaMigrations.push(migration);
    if (stretch.ends(workOnDdl(migration.ddl))) yield;
  }
  // The same object, so that an unchanged set is recognised as such.
  const isAll = passed.changes.length + passed.schemaMigrations.length === 0;
  return { whole, seen: isAll ? whole : { ...whole, ...seen }, passed };
}

function keyOf({ transactionId, hlc }: ChangeSet): string {
  return `${encodeHlc(hlc)} ${transactionId}`;
}

type Dated = Pick<ChangeSet, 'hlc'>;

/** Sorts items in the order of the originals, with others at the end. */
function inPlace<Item extends Dated>(originals: readonly Item[], items: readonly Item[]): Item[] {
  const places = new Map(originals.map(({ hlc }, i) => [encodeHlc(hlc), i]));
  const placed = items.map((item) => ({
    item,
    place: places.get(encodeHlc(item.hlc)) ?? originals.length,
  }));
  return placed.toSorted((a, b) => a.place - b.place).map(({ item }) => item);
}
