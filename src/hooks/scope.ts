/**
 * A module that is asked about some databases, or about some tables: all else passes it by as if it
 * were not there. It can reject only what it sees; what it says of a transaction as a whole
 * (`atomic`) holds for the whole.
 */

import { encodeHlc } from '../clock/hlc.ts';
import type { ApplyResult, ChangeSet } from '../protocol/types.ts';
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

/** The same hooks, asked about what is theirs. */
export function withinScope(hooks: CoordinatorHooks, { databases, tables }: Scope) {
  const ofTables = tables === undefined ? hooks : aboutTables(hooks, TableMap.of(tables));
  return databases === undefined ? ofTables : aboutDatabases(ofTables, new Set(databases));
}

/** What each hook answers about what is not its business. */
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

type Ask = (...args: unknown[]) => unknown;

/** Other hooks of the same names; `ask` calls one as a method, so that a class instance keeps its `this`. */
function mapHooks(hooks: CoordinatorHooks, map: (ask: Ask, name: HookName) => Ask) {
  const mapped: CoordinatorHooks = {};
  for (const name of HOOK_NAMES) {
    const hook: unknown = hooks[name];
    if (typeof hook !== 'function') continue;
    const ask = (...args: unknown[]): unknown => Reflect.apply(hook, hooks, args);
    Reflect.set(mapped, name, map(ask, name));
  }
  if (hooks.viewKey !== undefined) mapped.viewKey = (client) => hooks.viewKey?.(client);
  return mapped;
}

function aboutDatabases(hooks: CoordinatorHooks, ids: ReadonlySet<string>): CoordinatorHooks {
  const scoped = mapHooks(hooks, (ask, name) => (...args) => {
    // Who asks is in every hook's first argument, and so is the database.
    const isOurs = ids.has(Reflect.get(Object(args[0]), 'databaseId'));
    return isOurs ? ask(...args) : Reflect.apply(PASS[name], PASS, args);
  });
  const { viewKey } = scoped;
  if (viewKey !== undefined) {
    // Elsewhere it shows everybody the same.
    scoped.viewKey = (client) => (ids.has(client.databaseId ?? '') ? viewKey(client) : '');
  }
  return scoped;
}

function aboutTables(hooks: CoordinatorHooks, tables: TableMap<true>): CoordinatorHooks {
  const scoped = mapHooks(hooks, (ask) => ask);
  if (hooks.onBeforeApplyChanges !== undefined) {
    scoped.onBeforeApplyChanges = (client, changeSets, call) => {
      const parts = new Parts(changeSets, tables);
      if (parts.seen.length === 0) return PASS.onBeforeApplyChanges(client, changeSets, call);
      const answer: unknown = hooks.onBeforeApplyChanges?.(client, parts.seen, call);
      return whenAnswered(answer, (verdict) => {
        const { approved, rejected, atomic } = readValidation(verdict);
        return { approved: parts.join(approved), rejected, atomic } satisfies ValidationResult;
      });
    };
  }
  if (hooks.onBeforeSendChanges !== undefined) {
    scoped.onBeforeSendChanges = (client, changeSets, call) => {
      const parts = new Parts(changeSets, tables);
      if (parts.seen.length === 0) return changeSets;
      const answer: unknown = hooks.onBeforeSendChanges?.(client, parts.seen, call);
      return whenAnswered(answer, (left) => parts.join(readChangeSets(left)));
    };
  }
  if (hooks.onAfterApplyChanges !== undefined) {
    scoped.onAfterApplyChanges = (client, changeSets, result, call) => {
      const { seen } = new Parts(changeSets, tables);
      if (call instanceof CallAfterApply) call.keepOutcomes((each) => isAbout(each, tables));
      // What became of the rest is asked only where something may have been its own and is not stored.
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

/** What is rejected as a whole names no table, and concerns everybody. */
function withoutOthers(result: ApplyResult, tables: TableMap<true>): ApplyResult {
  const { rejected } = result;
  if (rejected === undefined) return result;
  const own = rejected.filter(({ table }) => table === undefined || tables.hasName(table));
  const { rejected: _, ...rest } = result;
  return own.length === 0 ? rest : { ...rest, rejected: own };
}

/** What is no answer is passed on as it is, to be refused like that of any module. */
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

/** Change sets, each in what a module sees of it and what passes by. */
class Parts {
  readonly #parts: { whole: ChangeSet; seen: ChangeSet | undefined }[];
  readonly #isSeen: (change: ChangeSet['changes'][number]) => boolean;
  readonly #isSeenDdl: (migration: ChangeSet['schemaMigrations'][number]) => boolean;

  constructor(changeSets: readonly ChangeSet[], tables: TableMap<true>) {
    this.#isSeen = (change) => tables.get(change) !== undefined;
    this.#isSeenDdl = (migration) => tables.findInMigration(migration) !== undefined;
    this.#parts = changeSets.map((whole) => ({ whole, seen: this.#cut(whole) }));
  }

  /** In an array of its own, which is the module's to sort and cut. */
  get seen(): ChangeSet[] {
    return this.#parts.flatMap(({ seen }) => (seen === undefined ? [] : [seen]));
  }

  #cut(whole: ChangeSet): ChangeSet | undefined {
    const changes = whole.changes.filter(this.#isSeen);
    const schemaMigrations = whole.schemaMigrations.filter(this.#isSeenDdl);
    const count = changes.length + schemaMigrations.length;
    if (count === 0) return undefined;
    const isAll = count === whole.changes.length + whole.schemaMigrations.length;
    // Itself, so that what nobody touches is known to be untouched.
    return isAll ? whole : { ...whole, changes, schemaMigrations };
  }

  /** What is left of them, together with what passed by, where it stood. */
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
    // Whatever else it gives is judged like that of any module.
    return [...joined, ...rest];
  }
}

function isSame(set: ChangeSet, other: ChangeSet): boolean {
  return set.transactionId === other.transactionId && encodeHlc(set.hlc) === encodeHlc(other.hlc);
}

type Dated = Pick<ChangeSet, 'hlc'>;

/** In the order of the originals; what is none of them comes last. */
function inPlace<Item extends Dated>(originals: readonly Item[], items: readonly Item[]): Item[] {
  const places = new Map(originals.map(({ hlc }, i) => [encodeHlc(hlc), i]));
  const placeOf = ({ hlc }: Item) => places.get(encodeHlc(hlc)) ?? originals.length;
  return items.toSorted((a, b) => placeOf(a) - placeOf(b));
}
