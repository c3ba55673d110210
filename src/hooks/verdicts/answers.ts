/**
 * Checks the answers of hooks. Hooks may be JavaScript without types, and an invalid answer must
 * refuse, not let pass.
 */

import { SITE_ID_BYTES } from '../../clock/site-id.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import type { RejectedChange } from '../../protocol/types.ts';
import type { Steps } from '../../wire/steps.ts';
import { demand, InvalidAnswer, isObject } from '../invalid-answer.ts';
import type { ClientIdentity } from '../types.ts';
import { copySiteId, readList, readSets, readValues } from './answered-changes.ts';

function isOptionalString(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string';
}

/** The last time that a `Date` can have, in milliseconds since 1970. */
const TIME_MAX = 8.64e15;

/**
 * Reads an expiry in whole milliseconds. A number that is no time comes from the credentials, for
 * instance from a JWT with an `exp` beyond all dates: then the credentials are refused, and the
 * hook has not failed.
 */
export function readExpiry(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  demand(typeof value === 'number', 'expiresAt is a number of milliseconds since 1970');
  const time = Math.floor(value);
  if (Math.abs(time) <= TIME_MAX) return time;
  throw new SyncError('AUTH_FAILED', 'the credentials do not say until when they are good');
}

/**
 * An identity, or `undefined` for "not my kind of credential". It is a copy of the hook's object.
 */
export function readIdentity(answer: unknown): ClientIdentity | undefined {
  if (answer === undefined || answer === null) return undefined;
  demand(isObject(answer), 'an identity is an object; return undefined to pass');
  const { siteId, userId, metadata } = answer;
  const site = copySiteId(siteId);
  demand(
    site !== undefined,
    `an identity needs siteId, a Uint8Array of ${SITE_ID_BYTES} bytes, such as context.siteId`,
  );
  demand(isOptionalString(userId), 'userId is a string');
  const expiresAt = readExpiry(answer.expiresAt);
  demand(metadata === undefined || isObject(metadata), 'metadata is an object, or not there');
  const known = Object.entries({ userId, expiresAt, metadata });
  const said = Object.fromEntries(known.filter(([, value]) => value !== undefined));
  return { ...answer, ...said, siteId: site };
}

/**
 * Returns if the answer is `true`.
 * @throws SyncError NOT_AUTHORIZED for `false`, InvalidAnswer for anything else
 */
export function readPermission(answer: unknown): void {
  if (answer === true) return;
  if (answer === false) throw new SyncError('NOT_AUTHORIZED', 'not allowed');
  throw new InvalidAnswer('the answer is true or false');
}

function readRejection(answer: unknown, path: string): RejectedChange {
  demand(isObject(answer), `${path} is { reason, code?, table?, column?, pk? }`);
  const { reason, code, table, column, pk } = answer;
  demand(typeof reason === 'string', `${path}.reason is a string`);
  demand(isOptionalString(code), `${path}.code is a string`);
  demand(isOptionalString(table), `${path}.table is a string`);
  demand(isOptionalString(column), `${path}.column is a string`);
  return {
    reason,
    ...(code === undefined ? {} : { code }),
    ...(table === undefined ? {} : { table }),
    ...(column === undefined ? {} : { column }),
    ...(pk === undefined ? {} : { pk: readValues(pk, `${path}.pk`) }),
  };
}

/** A `ValidationResult`, with change sets as they are stored. */
export interface Verdict {
  approved: WireChangeSet[];
  rejected: RejectedChange[];
  atomic?: boolean | undefined;
}

/** A `ValidationResult` whose lists have yet to be read. */
export interface UnreadVerdict {
  approved: readonly unknown[];
  rejected: readonly unknown[];
  atomic?: boolean | undefined;
}

/** @throws InvalidAnswer */
export function toUnreadVerdict(answer: unknown): UnreadVerdict {
  demand(isObject(answer), 'the answer is { approved, rejected }');
  const { approved, rejected, atomic } = answer;
  demand(Array.isArray(approved), 'approved is an array of change sets');
  demand(Array.isArray(rejected), 'rejected is an array');
  demand(
    atomic === undefined || typeof atomic === 'boolean',
    'atomic is true or false, or not there',
  );
  return { approved, rejected, atomic };
}

/** Copies a verdict, so that the hook can't change it later. */
export function* readValidation({ approved, rejected, atomic }: UnreadVerdict): Steps<Verdict> {
  return {
    approved: yield* readSets(approved, 'approved'),
    rejected: yield* readList(rejected, 'rejected', readRejection),
    atomic,
  };
}

/** Copies the change sets that a client may see. */
export function* readChangeSets(answer: unknown): Steps<WireChangeSet[]> {
  demand(Array.isArray(answer), 'the answer is an array of change sets');
  return yield* readSets(answer, '');
}
