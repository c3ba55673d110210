/**
 * Decodes and checks the change sets of a batch from the outside in: the envelope of a set, then
 * the number of its changes, then the changes one by one. It stops at the first fault, so invalid
 * input never costs more than valid input.
 */

import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { SyncError } from '../errors/sync-error.ts';
import {
  ChangeSetEnvelopeSchema,
  ChangeSetSchema,
  ColumnChangeSchema,
  DeleteChangeSchema,
  MigrationSchema,
  type WireChange,
  type WireChangeSet,
  type WireMigration,
} from '../protocol/schemas.ts';
import { pkFault, valueFault } from '../protocol/values.ts';
import { Envelope, type List } from './envelope.ts';
import { explain, isObject, refuse } from './faults.ts';
import type { LongJson } from './json-outline.ts';
import { arrayParts, type Json, valuesOf } from './long-json.ts';
import type { Steps } from './steps.ts';

const changeSetValidator = Compile(ChangeSetSchema);
const envelopeValidator = Compile(ChangeSetEnvelopeSchema);
const columnValidator = Compile(ColumnChangeSchema);
const deleteValidator = Compile(DeleteChangeSchema);
const migrationValidator = Compile(MigrationSchema);

const SET_NAMES = namesOf(ChangeSetEnvelopeSchema);
const SET_LISTS = ['changes', 'schemaMigrations'];
const MIGRATION_NAMES = namesOf(MigrationSchema);
const ITEM_LISTS = ['priorRow'];
const CHANGE_NAMES = namesOf(ColumnChangeSchema, DeleteChangeSchema);

function namesOf(...schemas: { properties: Record<string, TSchema> }[]): ReadonlySet<string> {
  return new Set(schemas.flatMap(({ properties }) => Object.keys(properties)));
}

/** The changes that a batch may still have. */
class BatchBudget {
  readonly #changesMax: number;
  #left: number;

  constructor(changesMax: number) {
    this.#changesMax = changesMax;
    this.#left = changesMax;
  }

  /** @throws SyncError TOO_LARGE */
  take(changes: number, place: string): void {
    // A set without changes costs work, too.
    this.#left -= Math.max(1, changes);
    if (this.#left >= 0) return;
    throw new SyncError(
      'TOO_LARGE',
      `${place}: more than limits.changesPerBatch (${this.#changesMax}) changes in one batch`,
      { limit: 'limits.changesPerBatch' },
    );
  }
}

/**
 * @param changesMax most changes and migrations in all sets together; each set counts at least one
 * @param place where the array is in the input, for messages
 */
export function decodeChangeSets(
  sets: List,
  changesMax: number,
  place: string,
): WireChangeSet[] | Steps<WireChangeSet[]> {
  if (Array.isArray(sets)) return decodeParsed(sets, changesMax, place);
  return decodeLongList(sets, new BatchBudget(changesMax), place);
}

/** The same for sets that are parsed already. */
export function decodeParsed(
  sets: readonly unknown[],
  changesMax: number,
  place: string,
): WireChangeSet[] {
  const budget = new BatchBudget(changesMax);
  return sets.map((value, i) => decodeChangeSet(value, budget, `${place}[${i}]`));
}

function* decodeLongList(
  sets: LongJson,
  budget: BatchBudget,
  place: string,
): Steps<WireChangeSet[]> {
  const decoded: WireChangeSet[] = [];
  for (const part of arrayParts(sets)) {
    if (Array.isArray(part)) {
      for (const value of part) {
        decoded.push(decodeChangeSet(value, budget, `${place}[${decoded.length}]`));
      }
    } else decoded.push(yield* decodeLongSet(part, budget, `${place}[${decoded.length}]`));
    yield;
  }
  return decoded;
}

/**
 * Decodes a set that is parsed: one compiled check of the whole set is quicker than one for each
 * change.
 */
function decodeChangeSet(value: unknown, budget: BatchBudget, place: string): WireChangeSet {
  if (isObject(value))
    budget.take(countIn(value, 'changes') + countIn(value, 'schemaMigrations'), place);
  if (!changeSetValidator.Check(value)) explainChangeSet(value, place);
  const { siteId, transactionId, hlc, changes, schemaMigrations = [] } = value;
  for (let i = 0; i < changes.length; i++) {
    const change = changes[i];
    if (change === undefined) continue;
    checkValues(change, place, i);
    if (hasUnknownFields(change)) changes[i] = onlyKnownFields(change);
  }
  for (let i = 0; i < schemaMigrations.length; i++) checkOldName(schemaMigrations[i], place, i);
  return { siteId, transactionId, hlc, changes, schemaMigrations } as WireChangeSet;
}

function countIn(changeSet: object, list: string): number {
  const members: unknown = Reflect.get(changeSet, list);
  return Array.isArray(members) ? members.length : 0;
}

function explainChangeSet(value: unknown, place: string): never {
  if (!envelopeValidator.Check(value)) explain(envelopeValidator, value, place);
  const { changes, schemaMigrations = [] } = value;
  for (const [i, change] of changes.entries()) checkedChange(change, place, i);
  for (const [i, migration] of schemaMigrations.entries()) checkedMigration(migration, place, i);
  refuse(place, 'is not of the right shape');
}

/** Decodes a set that is too long to be parsed at once, part by part. */
function* decodeLongSet(json: Json, budget: BatchBudget, place: string): Steps<WireChangeSet> {
  const envelope = yield* Envelope.read(json, place, SET_NAMES, SET_LISTS);
  const { value } = envelope;
  if (!envelopeValidator.Check(value)) explain(envelopeValidator, value, place);
  const changes = envelope.list('changes');
  const migrations = envelope.list('schemaMigrations');
  budget.take(changes.length + migrations.length, place);
  const { siteId, transactionId, hlc } = value;
  return {
    siteId,
    transactionId,
    hlc,
    changes: yield* decodeList(changes, CHANGE_NAMES, `${place}.changes`, (change, i) =>
      decodeChange(change, place, i),
    ),
    schemaMigrations: yield* decodeList(
      migrations,
      MIGRATION_NAMES,
      `${place}.schemaMigrations`,
      (migration, i) => decodeMigration(migration, place, i),
    ),
  };
}

function* decodeList<Item>(
  list: List,
  names: ReadonlySet<string>,
  place: string,
  decode: (value: unknown, index: number) => Item,
): Steps<Item[]> {
  if (Array.isArray(list)) return list.map(decode);
  const decoded: Item[] = [];
  for (const part of arrayParts(list)) {
    if (Array.isArray(part)) {
      for (const value of part) decoded.push(decode(value, decoded.length));
    } else {
      const value = yield* longItem(part, `${place}[${decoded.length}]`, names);
      decoded.push(decode(value, decoded.length));
    }
    yield;
  }
  return decoded;
}

/**
 * Reads a change that is long. Its `priorRow` may be as long as a row, each value in it as long as
 * a value.
 */
function* longItem(json: LongJson, place: string, names: ReadonlySet<string>): Steps<unknown> {
  const envelope = yield* Envelope.read(json, place, names, ITEM_LISTS);
  const priorRow = envelope.list('priorRow');
  if (!Array.isArray(priorRow) && isObject(envelope.value)) {
    Object.assign(envelope.value, { priorRow: yield* valuesOf(priorRow, `${place}.priorRow`) });
  }
  return envelope.value;
}

function decodeMigration(value: unknown, place: string, index: number): WireMigration {
  const migration = checkedMigration(value, place, index);
  checkOldName(migration, place, index);
  return migration;
}

function checkedMigration(value: unknown, place: string, index: number): WireMigration {
  if (migrationValidator.Check(value)) return value as WireMigration;
  explain(migrationValidator, value, `${place}.schemaMigrations[${index}]`);
}

function checkOldName(
  migration: { type: string; fromTable?: string } | undefined,
  place: string,
  index: number,
): void {
  if (migration?.type !== 'rename_table' || migration.fromTable !== undefined) return;
  refuse(`${place}.schemaMigrations[${index}].fromTable`, 'rename_table must say the old name');
}

/** Checks a change, and leaves out fields that the protocol does not know. */
function decodeChange(value: unknown, place: string, index: number): WireChange {
  const change = checkedChange(value, place, index);
  checkValues(change, place, index);
  return hasUnknownFields(change) ? onlyKnownFields(change) : change;
}

function checkedChange(value: unknown, place: string, index: number): WireChange {
  const type: unknown = isObject(value) ? Reflect.get(value, 'type') : undefined;
  if (type === 'column') {
    if (columnValidator.Check(value)) return value;
    explain(columnValidator, value, `${place}.changes[${index}]`);
  }
  if (type !== 'delete') refuse(`${place}.changes[${index}].type`, 'must be "column" or "delete"');
  if (deleteValidator.Check(value)) return value;
  explain(deleteValidator, value, `${place}.changes[${index}]`);
}

const CHANGE_FIELDS = {
  column: Object.keys(ColumnChangeSchema.properties).length,
  delete: Object.keys(DeleteChangeSchema.properties).length,
};

/** Counting the fields is enough: the required ones have been checked. */
function hasUnknownFields(change: WireChange): boolean {
  let fields = 0;
  for (const _field in change) fields++;
  if (change.type === 'delete') {
    return fields > CHANGE_FIELDS.delete - ('priorRow' in change ? 0 : 1);
  }
  return fields > CHANGE_FIELDS.column - ('priorHlc' in change ? 0 : 2);
}

function onlyKnownFields(change: WireChange): WireChange {
  const { schema, table, pk, hlc } = change;
  const common = { schema, table, pk, hlc };
  if (change.type === 'delete') {
    const { type, priorRow } = change;
    return { type, ...common, ...('priorRow' in change ? { priorRow } : {}) };
  }
  const { type, column, value, priorValue, priorHlc } = change;
  const prior = 'priorHlc' in change ? { priorValue, priorHlc } : {};
  return { type, ...common, column, value, ...prior };
}

function checkValues(change: WireChange, place: string, index: number): void {
  const here = () => `${place}.changes[${index}]`;
  const keyFault = pkFault(change.pk);
  if (keyFault !== undefined) refuse(`${here()}.pk`, keyFault);
  checkEach(change.pk, () => `${here()}.pk`);
  if (change.type === 'delete') {
    if (change.priorRow !== undefined) checkEach(change.priorRow, () => `${here()}.priorRow`);
    return;
  }
  const fault = valueFault(change.value);
  if (fault !== undefined) refuse(`${here()}.value`, fault);
  if ('priorValue' in change !== 'priorHlc' in change) {
    refuse(here(), 'priorValue and priorHlc come together or not at all');
  }
  if ('priorValue' in change) {
    const priorFault = valueFault(change.priorValue);
    if (priorFault !== undefined) refuse(`${here()}.priorValue`, priorFault);
  }
}

function checkEach(values: readonly unknown[], place: () => string): void {
  for (let i = 0; i < values.length; i++) {
    const fault = valueFault(values[i]);
    if (fault !== undefined) refuse(`${place()}[${i}]`, fault);
  }
}
