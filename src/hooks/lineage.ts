/**
 * What the modules of a chain have made of a client's changes, one after the other: which change of the
 * client each item stands for by now, however often it was rewritten or moved since, and why those were
 * rejected that nothing stands for. Each of them has one outcome, told under the name that its author gave it.
 */

import type { WireChangeSet } from '../protocol/schemas.ts';
import type { RejectedChange } from '../protocol/types.ts';
import { type GivenBack, itemsOf, type WireItem } from './given-back.ts';
import { entryKey, placeOfItem, type Reason, SaidEntries } from './said-entries.ts';

export class Lineage {
  readonly #originals = new Map<WireItem, WireItem>();
  readonly #reasons = new Map<WireItem, Reason>();
  readonly #hints = new Map<string, RejectedChange>();

  /** The client's change that an item stands for. */
  originalOf(item: WireItem): WireItem {
    return this.#originals.get(item) ?? item;
  }

  /** Why a change of the client was rejected; `undefined` where nobody said so. */
  reasonOf(original: WireItem): Reason | undefined {
    return this.#reasons.get(original);
  }

  /** What modules said that speaks for no change that they rejected. */
  get hints(): RejectedChange[] {
    return [...this.#hints.values()];
  }

  /** One item takes the place of another. */
  replace(item: WireItem, by: WireItem): void {
    if (by !== item) this.#originals.set(by, this.originalOf(item));
  }

  reject(item: WireItem, reason: Reason | undefined): void {
    if (reason !== undefined) this.#reasons.set(this.originalOf(item), reason);
  }

  /** Once, however often a module is asked about the same. */
  addHint(hint: RejectedChange): void {
    this.#hints.set(JSON.stringify([hint.reason, hint.code ?? 0, entryKey(hint)]), hint);
  }

  /**
   * Takes up the verdict of one module.
   * @param left what goes on of what it gave back
   * @param said why it rejected the others, which is about them as it was given them
   */
  judged(
    given: readonly WireChangeSet[],
    answers: GivenBack,
    left: readonly WireChangeSet[],
    said: readonly RejectedChange[],
  ): void {
    const standing = new Set<WireItem>();
    for (const item of left.flatMap(itemsOf)) {
      const answered = answers.originalOf(item) ?? item;
      standing.add(answered);
      this.replace(answered, item);
    }
    const entries = new SaidEntries(said);
    for (const item of given.flatMap(itemsOf)) {
      if (standing.has(item)) continue;
      const written = this.originalOf(item);
      const reason = entries.find(placeOfItem(item));
      this.reject(item, reason ?? entries.find(placeOfItem(written)));
    }
    for (const hint of entries.unheard()) this.addHint(hint);
  }
}
