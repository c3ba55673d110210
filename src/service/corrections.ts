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

/** The originals by what a hook would have given back, had it left them alone. */
function originalsByText(originals: readonly WireChangeSet[]) {
  const changesByText = new Map<string, WireChange>();
  const migrationsByText = new Map<string, WireMigration>();
  for (const original of originals) {
    // Encoded once more, since a value may have more than one spelling.
    const { changes, schemaMigrations } = encodeChangeSet(decodeChangeSet(original));
    changes.forEach((change, i) => {
      changesByText.set(JSON.stringify(change), original.changes[i] ?? change);
    });
    schemaMigrations.forEach((migration, i) => {
      migrationsByText.set(JSON.stringify(migration), original.schemaMigrations[i] ?? migration);
    });
  }
  return { changesByText, migrationsByText };
}

/** @param originals as the client sent them; `approved` may share nothing with them */
export function separateCorrections(
  originals: readonly WireChangeSet[],
  approved: readonly ChangeSet[],
): Corrected {
  const { changesByText, migrationsByText } = originalsByText(originals);
  const separated = { changeSets: [] as WireChangeSet[], authored: [] as WireChangeSet[] };
  for (const changeSet of approved.map(encodeChangeSet)) {
    const changes = separate(changeSet.changes, changesByText);
    const migrations = separate(changeSet.schemaMigrations, migrationsByText);
    const kept = { ...changeSet, changes: changes.kept, schemaMigrations: migrations.kept };
    const rewritten = {
      ...changeSet,
      changes: changes.rewritten,
      schemaMigrations: migrations.rewritten,
    };
    if (!isEmpty(kept) || isEmpty(rewritten)) separated.changeSets.push(kept);
    if (!isEmpty(rewritten)) separated.authored.push(rewritten);
  }
  return { ...separated, refused: findRefused(originals, approved) };
}

function separate<Item>(items: readonly Item[], originalsByText: ReadonlyMap<string, Item>) {
  const kept: Item[] = [];
  const rewritten: Item[] = [];
  for (const item of items) {
    const original = originalsByText.get(JSON.stringify(item));
    if (original === undefined) rewritten.push(item);
    else kept.push(original);
  }
  return { kept, rewritten };
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
