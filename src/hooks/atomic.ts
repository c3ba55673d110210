/** Verdicts that take a change set as a whole: with one of its changes rejected, all of them are. */

import { encodeHlc, type Hlc } from '../clock/hlc.ts';
import { originOf } from '../wire/lazy-change-set.ts';
import type { ChangeSet, RejectedChange } from '../wire/types.ts';
import type { ValidationResult } from './types.ts';

const REASON = 'another change of its transaction was rejected';

/** The HLCs of the changes and migrations that belong together, set by set. */
export type Belonging = readonly { hlcs(): readonly string[] }[];

/** To be taken before a hook has had its hands on the change sets. */
export function belongingOf(changeSets: readonly ChangeSet[]): Belonging {
  return changeSets.map((changeSet) => {
    const origin = originOf(changeSet);
    if (origin !== undefined) {
      const { changes, schemaMigrations } = origin;
      return { hlcs: () => [...changes, ...schemaMigrations].map(({ hlc }) => hlc) };
    }
    const hlcs = hlcsOf(changeSet);
    return { hlcs: () => hlcs };
  });
}

function hlcsOf({ changes, schemaMigrations }: ChangeSet): string[] {
  return [...changes, ...schemaMigrations].map(({ hlc }) => encodeHlc(hlc));
}

/** What is left of a verdict once the change sets that it would tear have been taken out. */
export function withoutTorn(
  { approved, rejected }: ValidationResult,
  belonging: Belonging,
): ValidationResult {
  const given = new Set(approved.flatMap(hlcsOf));
  const torn = new Set(
    belonging.flatMap((set) => {
      const hlcs = set.hlcs();
      return hlcs.every((hlc) => given.has(hlc)) ? [] : hlcs;
    }),
  );
  if (torn.size === 0) return { approved, rejected };
  const stays = ({ hlc }: { hlc: Hlc }) => !torn.has(encodeHlc(hlc));
  const whole = approved.flatMap((changeSet) => {
    const changes = changeSet.changes.filter(stays);
    const schemaMigrations = changeSet.schemaMigrations.filter(stays);
    const wasEmpty = changeSet.changes.length + changeSet.schemaMigrations.length === 0;
    const isLeft = changes.length + schemaMigrations.length > 0;
    return wasEmpty || isLeft ? [{ ...changeSet, changes, schemaMigrations }] : [];
  });
  if (![...torn].some((hlc) => given.has(hlc))) return { approved: whole, rejected };
  // Last, so that it only speaks for those of which the module itself says nothing.
  const others: RejectedChange = { reason: REASON, code: 'REJECTED' };
  return { approved: whole, rejected: [...rejected, others] };
}
