/**
 * What a hook may answer. Hooks are JavaScript that the compiler may never have seen,
 * and a check that answers nonsense must refuse, not let pass.
 */

import { SITE_ID_BYTES } from '../clock/site-id.ts';
import { SyncError } from '../errors.ts';
import { untouchedOrigin } from '../wire/lazy-change-set.ts';
import type { ChangeSet } from '../wire/types.ts';
import { valueFault } from '../wire/values.ts';
import type { ClientIdentity, ValidationResult } from './types.ts';

/** A hook answered what it may not; the message says what and where. */
export class InvalidAnswer extends Error {
  override readonly name = 'InvalidAnswer';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSiteId(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.byteLength === SITE_ID_BYTES;
}

function isHlc(value: unknown): boolean {
  return (
    isObject(value) &&
    typeof value.wallTime === 'bigint' &&
    typeof value.counter === 'number' &&
    typeof value.opSeq === 'number' &&
    isSiteId(value.siteId)
  );
}

function isOptionalString(value: unknown): boolean {
  return value === undefined || typeof value === 'string';
}

function demand(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvalidAnswer(message);
}

function demandIdentity(answer: unknown): asserts answer is ClientIdentity {
  demand(isObject(answer), 'an identity is an object; return undefined to pass');
  demand(
    isSiteId(answer.siteId),
    `an identity needs siteId, a Uint8Array of ${SITE_ID_BYTES} bytes, such as context.siteId`,
  );
  demand(isOptionalString(answer.userId), 'userId is a string');
  demand(
    answer.expiresAt === undefined || Number.isFinite(answer.expiresAt),
    'expiresAt is a number of milliseconds since 1970',
  );
  demand(
    answer.metadata === undefined || isObject(answer.metadata),
    'metadata is an object, or not there',
  );
}

/** An identity, or `undefined` for "not my kind of credential". */
export function readIdentity(answer: unknown): ClientIdentity | undefined {
  if (answer === undefined || answer === null) return undefined;
  demandIdentity(answer);
  return answer;
}

/** Nothing, if the answer is yes. Only `true` is a yes and only `false` is a no. */
export function readPermission(answer: unknown): void {
  if (answer === true) return;
  if (answer === false) throw new SyncError('NOT_AUTHORIZED', 'not allowed');
  throw new InvalidAnswer('the answer is true or false');
}

/** A value that can be stored and sent, as the client of a hook's rewrite will get it. */
function demandValue(value: unknown, path: string): void {
  if (typeof value === 'bigint' || value instanceof Uint8Array) return;
  const fault = valueFault(value);
  demand(fault === undefined, `${path} ${fault}`);
}

function demandValues(values: unknown, path: string): void {
  demand(Array.isArray(values), `${path} is an array`);
  values.forEach((value, i) => {
    demandValue(value, `${path}[${i}]`);
  });
}

function demandChange(change: unknown, path: string): void {
  demand(isObject(change), `${path} is a change`);
  demand(
    change.type === 'delete' || (change.type === 'column' && typeof change.column === 'string'),
    `${path}.type is "column", with a column, or "delete"`,
  );
  demand(typeof change.schema === 'string', `${path}.schema is a string`);
  demand(typeof change.table === 'string', `${path}.table is a string`);
  demandValues(change.pk, `${path}.pk`);
  if (change.type === 'column') demandValue(change.value, `${path}.value`);
  demand(isHlc(change.hlc), `${path}.hlc is an HLC`);
}

function demandMigration(migration: unknown, path: string): void {
  demand(isObject(migration), `${path} is a migration`);
  for (const field of ['type', 'schema', 'table', 'ddl']) {
    demand(typeof migration[field] === 'string', `${path}.${field} is a string`);
  }
  demand(isHlc(migration.hlc), `${path}.hlc is an HLC`);
  demand(typeof migration.schemaVersion === 'number', `${path}.schemaVersion is a number`);
}

function demandChangeSet(changeSet: unknown, path: string): asserts changeSet is ChangeSet {
  demand(isObject(changeSet), `${path} is a change set`);
  if (untouchedOrigin(changeSet) !== undefined) return;
  demand(isSiteId(changeSet.siteId), `${path}.siteId is a Uint8Array of ${SITE_ID_BYTES} bytes`);
  demand(typeof changeSet.transactionId === 'string', `${path}.transactionId is a string`);
  demand(isHlc(changeSet.hlc), `${path}.hlc is an HLC`);
  demand(Array.isArray(changeSet.changes), `${path}.changes is an array`);
  demand(Array.isArray(changeSet.schemaMigrations), `${path}.schemaMigrations is an array`);
  changeSet.changes.forEach((change, i) => {
    demandChange(change, `${path}.changes[${i}]`);
  });
  changeSet.schemaMigrations.forEach((migration, i) => {
    demandMigration(migration, `${path}.schemaMigrations[${i}]`);
  });
}

function demandRejection(rejection: unknown, path: string): void {
  demand(isObject(rejection), `${path} is { reason, code?, table?, column?, pk? }`);
  demand(typeof rejection.reason === 'string', `${path}.reason is a string`);
  for (const field of ['code', 'table', 'column']) {
    demand(isOptionalString(rejection[field]), `${path}.${field} is a string`);
  }
  if (rejection.pk !== undefined) demandValues(rejection.pk, `${path}.pk`);
}

function demandValidation(answer: unknown): asserts answer is ValidationResult {
  demand(isObject(answer), 'the answer is { approved, rejected }');
  demand(Array.isArray(answer.approved), 'approved is an array of change sets');
  demand(Array.isArray(answer.rejected), 'rejected is an array');
  demand(
    answer.atomic === undefined || typeof answer.atomic === 'boolean',
    'atomic is true or false, or not there',
  );
  answer.approved.forEach((changeSet, i) => {
    demandChangeSet(changeSet, `approved[${i}]`);
  });
  answer.rejected.forEach((rejection, i) => {
    demandRejection(rejection, `rejected[${i}]`);
  });
}

/** A verdict in arrays of its own, so that a hook which keeps its arrays can't change it later. */
export function readValidation(answer: unknown): ValidationResult {
  demandValidation(answer);
  const { approved, rejected, atomic } = answer;
  return { approved: [...approved], rejected: [...rejected], atomic };
}

/** What a client may see, in an array of its own. */
export function readChangeSets(answer: unknown): ChangeSet[] {
  demand(Array.isArray(answer), 'the answer is an array of change sets');
  return answer.map((changeSet: unknown, i) => {
    demandChangeSet(changeSet, `[${i}]`);
    return changeSet;
  });
}
