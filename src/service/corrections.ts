/**
 * What validate hooks made of a batch, told apart: what they left as it was goes on verbatim, as
 * its author's; what they rewrote is the coordinator's own from now on. Under the author's HLC
 * a rewritten value would never reach the author, who has another value under that HLC. What is
 * not there any more was refused.
 */

import { withItems } from '../engine/merge/foreign-authors.ts';
import { GivenBack, isChange, type WireItem } from '../hooks/given-back.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';
import {
  type ChangeSet,
  decodeChange,
  decodeMigration,
  encodeChange,
  encodeChangeSet,
  encodeMigration,
} from '../protocol/types.ts';
import { untouchedOrigin } from '../wire/lazy-change-set.ts';

export interface Corrected {
  changeSets: readonly WireChangeSet[];
  /** Each with the HLC of the change that it answers. */
  authored: readonly WireChangeSet[];
  /** What no hook gave back, in any form. */
  refused: readonly WireChangeSet[];
  /** What came back elsewhere: what was made of it doesn't replace it where it was made. */
  moved: readonly WireChangeSet[];
}

/** @param originals as the client sent them; `approved` may share nothing with them */
export function separateCorrections(
  originals: readonly WireChangeSet[],
  approved: readonly ChangeSet[],
): Corrected {
  const back = approved.map((set) => untouchedOrigin(set) ?? encodeChangeSet(set));
  if (back.length === originals.length && back.every((set, i) => set === originals[i])) {
    return { changeSets: originals, authored: [], refused: [], moved: [] };
  }
  const answers = new GivenBack(originals, back);
  const untouched = new Set(originals);
  const changeSets: WireChangeSet[] = [];
  const authored: WireChangeSet[] = [];
  for (const set of back) {
    if (untouched.has(set)) {
      changeSets.push(set);
      continue;
    }
    const kept: WireChangeSet = { ...set, changes: [], schemaMigrations: [] };
    const rewritten: WireChangeSet = { ...set, changes: [], schemaMigrations: [] };
    for (const change of set.changes) {
      const original = answers.originalOf(change);
      if (original === undefined || !isChange(original) || !isLeftAlone(original, change)) {
        rewritten.changes.push(change);
      } else kept.changes.push(original);
    }
    for (const migration of set.schemaMigrations) {
      const original = answers.originalOf(migration);
      if (original === undefined || isChange(original) || !isLeftAlone(original, migration)) {
        rewritten.schemaMigrations.push(migration);
      } else kept.schemaMigrations.push(original);
    }
    if (!isEmpty(kept) || isEmpty(rewritten)) changeSets.push(kept);
    if (!isEmpty(rewritten)) authored.push(rewritten);
  }
  const pick = (isWanted: (item: WireItem) => boolean) =>
    withItems(originals, isWanted).filter((set) => !isEmpty(set));
  const refused = pick((item) => !answers.isAnswered(item));
  return { changeSets, authored, refused, moved: pick(answers.isMoved) };
}

/** A value may have more than one spelling, so the original is put as the hook saw it. */
function isLeftAlone(original: WireItem, back: WireItem): boolean {
  const seen = isChange(original)
    ? encodeChange(decodeChange(original))
    : encodeMigration(decodeMigration(original));
  return JSON.stringify(seen) === JSON.stringify(back);
}

function isEmpty({ changes, schemaMigrations }: WireChangeSet): boolean {
  return changes.length === 0 && schemaMigrations.length === 0;
}
