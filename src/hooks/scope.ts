/**
 * Limits a module to some databases or tables: all else bypasses it. It can reject only what it
 * sees, but an `atomic` verdict is about the whole transaction.
 */

import { encodeHlc } from '../clock/hlc.ts';
import type { ApplyResult, ChangeSet } from '../protocol/types.ts';
import { decodeLazily } from '../wire/lazy-change-set.ts';
import { InvalidAnswer } from './answered-changes.ts';
import { readChangeSets, readValidation } from './answers.ts';
import { CallAfterApply } from './call.ts';
import { HOOK_NAMES, type HookName } from './kinds.ts';
import { TableMap } from './table-list.ts';
import type { ChangeOutcome, CoordinatorHooks, ValidationResult } from './types.ts';

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
    scoped.onBeforeApplyChanges = (client, changeSets, call) => {
      const parts = new Parts(changeSets, tables);
      if (parts.seen.length === 0) return PASS.onBeforeApplyChanges(client, changeSets, call);
      const answer: unknown = hooks.onBeforeApplyChanges?.(client, parts.seen, call);
      return whenAnswered(answer, (verdict) => {
        const { approved, rejected, atomic } = readValidation(verdict);
        const left = parts.join(approved.map(decodeLazily));
        return { approved: left, rejected, atomic } satisfies ValidationResult;
      });
    };
  }
  if (hooks.onBeforeSendChanges !== undefined) {
    scoped.onBeforeSendChanges = (client, changeSets, call) => {
      const parts = new Parts(changeSets, tables);
      if (parts.seen.length === 0) return changeSets;
      const answer: unknown = hooks.onBeforeSendChanges?.(client, parts.seen, call);
      return whenAnswered(answer, (left) => parts.join(readChangeSets(left).map(decodeLazily)));
    };
  }
  if (hooks.onAfterApplyChanges !== undefined) {
    scoped.onAfterApplyChanges = (client, changeSets, result, call) => {
      const { seen } = new Parts(changeSets, tables);
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
function whenAnswered<T>(answer: unknown, read: (answer: unknown) => T): T | Promise<T> {
  const readOrPass = (given: unknown): T => {
    try {
      return read(given);
    } catch (error) {
      if (error instanceof InvalidAnswer) return given as T;
      throw error;
    }
  };
  const isPromise = typeof Reflect.get(Object(answer), 'then') === 'function';
  return isPromise ? Promise.resolve(answer).then(readOrPass) : readOrPass(answer);
}

/** Change sets, each divided into the part that a module sees and the rest. */
class Parts {
  readonly #parts: { whole: ChangeSet; seen: ChangeSet | undefined }[];
  readonly #isSeen: (change: ChangeSet['changes'][number]) => boolean;
  readonly #isSeenDdl: (migration: ChangeSet['schemaMigrations'][number]) => boolean;

  constructor(changeSets: readonly ChangeSet[], tables: TableMap<true>) {
    this.#isSeen = (change) => tables.get(change) !== undefined;
    this.#isSeenDdl = (migration) => tables.findInMigration(migration) !== undefined;
    this.#parts = changeSets.map((whole) => ({ whole, seen: this.#cut(whole) }));
  }

  /** The parts that the module sees, in a new array, which it may change. */
  get seen(): ChangeSet[] {
    return this.#parts.flatMap(({ seen }) => (seen === undefined ? [] : [seen]));
  }

  #cut(whole: ChangeSet): ChangeSet | undefined {
    const changes = whole.changes.filter(this.#isSeen);
    const schemaMigrations = whole.schemaMigrations.filter(this.#isSeenDdl);
    const count = changes.length + schemaMigrations.length;
    if (count === 0) return undefined;
    const isAll = count === whole.changes.length + whole.schemaMigrations.length;
    // The same object, so that an unchanged set is recognised as such.
    return isAll ? whole : { ...whole, changes, schemaMigrations };
  }

  /** Joins the module's answer with the rest, in the original order. */
  join(left: readonly ChangeSet[]): ChangeSet[] {
    const rest = [...left];
    const joined = this.#parts.flatMap(({ whole, seen }) => {
      if (seen === undefined) return [whole];
      const at = rest.findIndex((set) => isSame(set, whole));
      const [kept] = at < 0 ? [] : rest.splice(at, 1);
      if (seen === whole) return kept === undefined ? [] : [kept];
      const passed = {
        changes: whole.changes.filter((change) => !this.#isSeen(change)),
        schemaMigrations: whole.schemaMigrations.filter((ddl) => !this.#isSeenDdl(ddl)),
      };
      const changes = inPlace(whole.changes, [...(kept?.changes ?? []), ...passed.changes]);
      const ddl = [...(kept?.schemaMigrations ?? []), ...passed.schemaMigrations];
      return [{ ...whole, changes, schemaMigrations: inPlace(whole.schemaMigrations, ddl) }];
    });
    // Other sets in the answer are checked by the chain as usual.
    return [...joined, ...rest];
  }
}

function isSame(set: ChangeSet, other: ChangeSet): boolean {
  return set.transactionId === other.transactionId && encodeHlc(set.hlc) === encodeHlc(other.hlc);
}

type Dated = Pick<ChangeSet, 'hlc'>;

/** Sorts items in the order of the originals, with others at the end. */
function inPlace<Item extends Dated>(originals: readonly Item[], items: readonly Item[]): Item[] {
  const places = new Map(originals.map(({ hlc }, i) => [encodeHlc(hlc), i]));
  const placeOf = ({ hlc }: Item) => places.get(encodeHlc(hlc)) ?? originals.length;
  return items.toSorted((a, b) => placeOf(a) - placeOf(b));
}
