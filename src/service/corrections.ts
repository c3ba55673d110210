/**
 * What a validate hook made of a batch, told apart: what it left as it was goes on verbatim, as
 * its author's; what it rewrote is the coordinator's own from now on. Under the author's HLC
 * a rewritten value would never reach the author, who has another value under that HLC. What is
 * not there any more was refused.
 */

import { encodeHlc } from '../clock/hlc.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../wire/schemas.ts';
import { type ChangeSet, decodeChangeSet, encodeChangeSet } from '../wire/types.ts';

export interface Corrected {
  changeSets: readonly WireChangeSet[];
  /** Each with the HLC of the change that it answers. */
  authored: readonly WireChangeSet[];
  /** What the hook did not give back, in any form. */
  refused: readonly WireChangeSet[];
}

type Item = WireChange | WireMigration;

/** The originals by what a hook would have given back, had it left them alone. */
function originalsByText(originals: readonly WireChangeSet[]): Map<string, Item> {
  const byText = new Map<string, Item>();
  for (const original of originals) {
    // Encoded once more, since a value may have more than one spelling.
    const { changes, schemaMigrations } = encodeChangeSet(decodeChangeSet(original));
    changes.forEach((change, i) => {
      byText.set(JSON.stringify(change), original.changes[i] ?? change);
    });
    schemaMigrations.forEach((migration, i) => {
      byText.set(JSON.stringify(migration), original.schemaMigrations[i] ?? migration);
    });
  }
  return byText;
}

/** @param originals as the client sent them; `approved` may share nothing with them */
export function separateCorrections(
  originals: readonly WireChangeSet[],
  approved: readonly ChangeSet[],
): Corrected {
  const byText = originalsByText(originals);
  const separated = { changeSets: [] as WireChangeSet[], authored: [] as WireChangeSet[] };
  for (const changeSet of approved.map(encodeChangeSet)) {
    const kept: WireChangeSet = { ...changeSet, changes: [], schemaMigrations: [] };
    const rewritten: WireChangeSet = { ...changeSet, changes: [], schemaMigrations: [] };
    for (const change of changeSet.changes) {
      const original = byText.get(JSON.stringify(change));
      if (original !== undefined && !('ddl' in original)) kept.changes.push(original);
      else rewritten.changes.push(change);
    }
    for (const migration of changeSet.schemaMigrations) {
      const original = byText.get(JSON.stringify(migration));
      if (original !== undefined && 'ddl' in original) kept.schemaMigrations.push(original);
      else rewritten.schemaMigrations.push(migration);
    }
    if (!isEmpty(kept) || isEmpty(rewritten)) separated.changeSets.push(kept);
    if (!isEmpty(rewritten)) separated.authored.push(rewritten);
  }
  return { ...separated, refused: findRefused(originals, approved) };
}

function findRefused(
  originals: readonly WireChangeSet[],
  approved: readonly ChangeSet[],
): WireChangeSet[] {
  const answered = new Set<string>();
  for (const { changes } of approved) for (const { hlc } of changes) answered.add(encodeHlc(hlc));
  return originals
    .map((original) => ({
      ...original,
      changes: original.changes.filter(({ hlc }) => !answered.has(hlc)),
      schemaMigrations: [],
    }))
    .filter(({ changes }) => changes.length > 0);
}

function isEmpty({ changes, schemaMigrations }: WireChangeSet): boolean {
  return changes.length === 0 && schemaMigrations.length === 0;
}
