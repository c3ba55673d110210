/**
 * What validate hooks made of a batch, told apart: what they left as it was goes on verbatim, as
 * its author's; what they rewrote is the coordinator's own from now on. Under the author's HLC
 * a rewritten value would never reach the author, who has another value under that HLC. What is
 * not there any more was refused.
 */

import { withItems } from '../engine/merge/foreign-authors.ts';
import { isChange, isReplacedBy, itemsOf, type WireItem } from '../hooks/given-back.ts';
import type { Lineage } from '../hooks/lineage.ts';
import type { WireChangeSet } from '../protocol/schemas.ts';
import { decodeChange, decodeMigration, encodeChange, encodeMigration } from '../protocol/types.ts';

export interface Corrected {
  changeSets: readonly WireChangeSet[];
  /** Each with the HLC of the change that it answers. */
  compensations: readonly WireChangeSet[];
  /** What no hook gave back, in any form. */
  refused: readonly WireChangeSet[];
  /** What came back elsewhere: what was made of it doesn't replace it where it was made. */
  moved: readonly WireChangeSet[];
}

export interface Separated extends Corrected {
  /** By a change that was rewritten, what is in `authored` in its place. */
  rewrites: ReadonlyMap<WireItem, WireItem>;
}

/**
 * @param originals as the client sent them
 * @param approved what is left of them
 * @param lineage which of them each change that is left stands for
 */
export function separateCorrections(
  originals: readonly WireChangeSet[],
  approved: readonly WireChangeSet[],
  lineage: Lineage,
): Separated {
  const rewrites = new Map<WireItem, WireItem>();
  if (approved.length === originals.length && approved.every((set, i) => set === originals[i])) {
    return { changeSets: originals, compensations: [], refused: [], moved: [], rewrites };
  }
  const untouched = new Set(originals);
  const kept = new Set<WireItem>();
  const changeSets: WireChangeSet[] = [];
  const compensations: WireChangeSet[] = [];
  for (const set of approved) {
    if (untouched.has(set)) {
      changeSets.push(set);
      for (const item of itemsOf(set)) kept.add(item);
      continue;
    }
    const left: WireChangeSet = { ...set, changes: [], schemaMigrations: [] };
    const rewritten: WireChangeSet = { ...set, changes: [], schemaMigrations: [] };
    for (const item of itemsOf(set)) {
      const original = lineage.originalOf(item);
      const isLeft = isLeftAlone(original, item);
      if (isLeft) kept.add(original);
      else rewrites.set(original, item);
      addItem(isLeft ? left : rewritten, isLeft ? original : item);
    }
    if (!isEmpty(left) || isEmpty(rewritten)) changeSets.push(left);
    if (!isEmpty(rewritten)) compensations.push(rewritten);
  }
  const pick = (isWanted: (item: WireItem) => boolean) =>
    withItems(originals, isWanted).filter((set) => !isEmpty(set));
  const refused = pick((item) => !kept.has(item) && !rewrites.has(item));
  const moved = pick((item) => {
    const rewrite = rewrites.get(item);
    return rewrite !== undefined && !isReplacedBy(item, rewrite);
  });
  return { changeSets, compensations, refused, moved, rewrites };
}

function addItem({ changes, schemaMigrations }: WireChangeSet, item: WireItem): void {
  if (isChange(item)) changes.push(item);
  else schemaMigrations.push(item);
}

/** A value may have more than one spelling, so the original is put as the hook saw it. */
export function isLeftAlone(original: WireItem, back: WireItem): boolean {
  if (original === back) return true;
  const seen = isChange(original)
    ? encodeChange(decodeChange(original))
    : encodeMigration(decodeMigration(original));
  return JSON.stringify(seen) === JSON.stringify(back);
}

function isEmpty({ changes, schemaMigrations }: WireChangeSet): boolean {
  return changes.length === 0 && schemaMigrations.length === 0;
}
