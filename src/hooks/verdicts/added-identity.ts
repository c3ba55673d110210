/**
 * Checks what a module adds to an accepted identity. It may add anything, but not change user,
 * site, database or address, nor extend the life of the identity.
 */

import { siteIdToText } from '../../clock/site-id.ts';
import { demand, isObject } from '../invalid-answer.ts';
import type { ClientIdentity } from '../types.ts';
import { copySiteId } from './answered-changes.ts';
import { readExpiry } from './answers.ts';

/** The identity with what the answer adds, frozen. @throws InvalidAnswer */
export function readAddedIdentity(known: ClientIdentity, answer: unknown): ClientIdentity {
  if (answer === undefined || answer === null) return known;
  demand(
    isObject(answer) && !(answer instanceof Error),
    'the answer is an object with what it adds to the identity, or undefined',
  );
  const { siteId, userId, databaseId, remoteAddress, expiresAt, metadata, ...added } = answer;
  demandSame(siteId === undefined || isSameSite(known, siteId), 'siteId');
  demandSame(userId === undefined || userId === known.userId, 'userId');
  demandSame(databaseId === undefined || databaseId === known.databaseId, 'databaseId');
  demandSame(remoteAddress === undefined || remoteAddress === known.remoteAddress, 'remoteAddress');
  demand(metadata === undefined || isObject(metadata), 'metadata is an object, or not there');
  const { expiresAt: until = Number.POSITIVE_INFINITY } = known;
  const ends = readExpiry(expiresAt);
  demand(ends === undefined || ends <= until, 'expiresAt may be sooner than it was, not later');
  return Object.freeze({
    ...known,
    ...added,
    ...(ends !== undefined && { expiresAt: ends }),
    ...(metadata !== undefined && { metadata: { ...known.metadata, ...metadata } }),
  });
}

function isSameSite(known: ClientIdentity, siteId: unknown): boolean {
  const site = copySiteId(siteId);
  return site !== undefined && siteIdToText(site) === siteIdToText(known.siteId);
}

function demandSame(isSame: boolean, name: string): void {
  demand(isSame, `${name} can't be changed any more`);
}
