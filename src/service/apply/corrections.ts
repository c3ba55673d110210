/**
 * Compares a batch with what `onBeforeApplyChanges` has made of it. An item that is unchanged is
 * stored as its author's, byte for byte. A rewritten item becomes a compensation: a change of the
 * coordinator, since under the author's HLC the author would keep its own value. An item that did
 * not come back was refused.
 */

import { withItems } from '../../engine/merge/foreign-authors.ts';
import type { Lineage } from '../../hooks/verdicts/lineage.ts';
import {
  isChange,
  isReplacedBy,
  itemsOf,
  type WireItem,
} from '../../hooks/verdicts/returned-changes.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import {
  decodeChange,
  decodeMigration,
  encodeChange,
  encodeMigration,
} from '../../protocol/types.ts';
import { forEach, type Steps, Stretch } from '../../wire/steps.ts';

export interface Corrected {
  changeSets: readonly WireChangeSet[];
  /** Each carries the HLC of the change that it replaces. */
  compensations: readonly WireChangeSet[];
  /** Items that did not come back from the hooks. */
  refused: readonly WireChangeSet[];
  /**
   * Items whose rewrite has another place (row or column), so that the original's place has to be
   * reverted.
   */
  moved: readonly WireChangeSet[];
}

export interface Separated extends Corrected {
  /** For each rewritten item, the item in `compensations` that replaces it. */
  rewrites: ReadonlyMap<WireItem, WireItem>;
}

/**
 * @param originals as the client sent them
 * @param approved what the hooks have left of them
 * @param lineage which original each approved item stands for
 */
export function* separateCorrections(
  originals: readonly WireChangeSet[],
  approved: readonly WireChangeSet[],
  lineage: Lineage,
): Steps<Separated> {
  const rewrites = new Map<WireItem, WireItem>();
  if (approved.length === originals.length && approved.every((set, i) => set === originals[i])) {
    return { changeSets: originals, compensations: [], refused: [], moved: [], rewrites };
  }
  const untouched = new Set(originals);
  const kept = new Set<WireItem>();
  const changeSets: WireChangeSet[] = [];
  const compensations: WireChangeSet[] = [];
  const stretch = new Stretch();
  for (const set of approved) {
    if (untouched.has(set)) {
      changeSets.push(set);
      for (const item of itemsOf(set)) kept.add(item);
      continue;
    }
    const left: WireChangeSet = { ...set, changes: [], schemaMigrations: [] };
    const rewritten: WireChangeSet = { ...set, changes: [], schemaMigrations: [] };
    const separate = (item: WireItem) => {
      const original = lineage.originalOf(item);
      const isLeft = isLeftAlone(original, item);
      if (isLeft) kept.add(original);
      else rewrites.set(original, item);
      addItem(isLeft ? left : rewritten, isLeft ? original : item);
    };
    yield* forEach(itemsOf(set), separate, stretch);
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

/** Compares with the original as the hook saw it, since a value may have more than one spelling. */
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
