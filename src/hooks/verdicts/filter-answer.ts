/**
 * Reads a hook's answer about change sets that are to be sent. A hook may leave changes out, or
 * give them other values. All else is sent as it is stored, so that replicas never differ in more
 * than that.
 */

import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';
import { decodeValue, encodeValue, pkIdentity } from '../../protocol/values.ts';
import { forEach, type Steps, Stretch } from '../../wire/steps.ts';
import { InvalidAnswer } from '../invalid-answer.ts';
import { readChangeSets } from './answers.ts';

/**
 * The remaining change sets. An unchanged one is the same object.
 * @param changeSets that the hook was given; each has a position of its own
 * @throws InvalidAnswer
 */
export function* readFilterAnswer(
  changeSets: readonly WireChangeSet[],
  answer: unknown,
): Steps<WireChangeSet[]> {
  const answers = yield* readChangeSets(answer);
  const leftByPosition = new Map<string, WireChangeSet>();
  for (const [i, changeSet] of answers.entries()) {
    const { hlc } = changeSet;
    if (leftByPosition.has(hlc)) throw new InvalidAnswer(`[${i}] comes a second time`);
    leftByPosition.set(hlc, changeSet);
  }
  const left: WireChangeSet[] = [];
  const stretch = new Stretch();
  for (const given of changeSets) {
    const changeSet = leftByPosition.get(given.hlc);
    leftByPosition.delete(given.hlc);
    if (changeSet !== undefined) left.push(yield* filterSet(given, changeSet, stretch));
  }
  const [added] = leftByPosition.values();
  if (added !== undefined) {
    throw new InvalidAnswer(`[${answers.indexOf(added)}].hlc is of none that was to be sent`);
  }
  return left.filter((set) => set.changes.length > 0 || set.schemaMigrations.length > 0);
}

function* filterSet(
  given: WireChangeSet,
  left: WireChangeSet,
  stretch: Stretch,
): Steps<WireChangeSet> {
  if (left === given) return given;
  const leftByKey = new Map<string, WireChange>();
  const addLeft = (change: WireChange) => leftByKey.set(changeKey(change), change);
  yield* forEach(left.changes, addLeft, stretch);
  const changes: WireChange[] = [];
  const keep = (change: WireChange) => {
    const key = changeKey(change);
    const kept = leftByKey.get(key);
    leftByKey.delete(key);
    if (kept !== undefined) changes.push(withValueOf(change, kept));
  };
  yield* forEach(given.changes, keep, stretch);
  const [added] = leftByKey.values();
  if (added !== undefined) {
    throw new InvalidAnswer(
      `a change of table ${JSON.stringify(added.table)} is none that was to be sent; it may be left out or given another value`,
    );
  }
  const keptMigrations = new Set(left.schemaMigrations.map(migrationKey));
  const schemaMigrations = given.schemaMigrations.filter((migration) =>
    keptMigrations.has(migrationKey(migration)),
  );
  return { ...given, changes, schemaMigrations };
}

function changeKey(change: WireChange): string {
  const { type, hlc, schema, table, pk } = change;
  const column = change.type === 'column' ? change.column : 0;
  return JSON.stringify([type, hlc, schema, table, column, pkIdentity(pk)]);
}

/** The key of a migration, without its DDL, which the hook can't change. */
function migrationKey({ type, hlc, schema, table, schemaVersion }: WireMigration): string {
  return JSON.stringify([type, hlc, schema, table, schemaVersion]);
}

/** Gives a change the hook's value. A value that the hook did not change keeps its spelling. */
function withValueOf(given: WireChange, left: WireChange): WireChange {
  if (given.type !== 'column' || left.type !== 'column' || left.value === given.value) return given;
  // Texts have one spelling, and may be long.
  if (typeof left.value === 'string') return { ...given, value: left.value };
  const seen = JSON.stringify(encodeValue(decodeValue(given.value)));
  return JSON.stringify(left.value) === seen ? given : { ...given, value: left.value };
}
