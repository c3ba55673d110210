/**
 * Follows a client's changes through the modules of a chain: which original change each item stands
 * for, however often modules rewrote or moved it, and why the other ones were rejected. Each
 * original change has one outcome, which is reported under the names that its author used.
 */

import type { WireChangeSet } from '../../protocol/schemas.ts';
import type { RejectedChange } from '../../protocol/types.ts';
import { forEach, type Steps } from '../../wire/steps.ts';
import { entryKey, placeOfItem, type Reason, SaidEntries } from './rejected-entries.ts';
import { type GivenBack, itemsOf, type WireItem } from './returned-changes.ts';

export class Lineage {
  readonly #originals = new Map<WireItem, WireItem>();
  readonly #reasons = new Map<WireItem, Reason>();
  readonly #hints = new Map<string, RejectedChange>();

  /** The client's change that an item stands for. */
  originalOf(item: WireItem): WireItem {
    return this.#originals.get(item) ?? item;
  }

  /** Why a change of the client was rejected; `undefined` if no module gave a reason. */
  reasonOf(original: WireItem): Reason | undefined {
    return this.#reasons.get(original);
  }

  /** Entries of `rejected` that match no rejected change. */
  get hints(): RejectedChange[] {
    return [...this.#hints.values()];
  }

  /** Every item stands for itself, and nothing was said of any. */
  get saysNothing(): boolean {
    return this.#originals.size + this.#reasons.size + this.#hints.size === 0;
  }

  /** One item takes the place of another. */
  replace(item: WireItem, by: WireItem): void {
    if (by !== item) this.#originals.set(by, this.originalOf(item));
  }

  reject(item: WireItem, reason: Reason | undefined): void {
    if (reason !== undefined) this.#reasons.set(this.originalOf(item), reason);
  }

  /** Adds a hint once, even if the module is invoked again about the same changes. */
  addHint(hint: RejectedChange): void {
    this.#hints.set(JSON.stringify([hint.reason, hint.code ?? 0, entryKey(hint)]), hint);
  }

  /**
   * Records the verdict of one module.
   * @param left the returned change sets that go on
   * @param said its `rejected` entries, which are about changes as the module got them
   */
  *judged(
    given: readonly WireChangeSet[],
    answers: GivenBack,
    left: readonly WireChangeSet[],
    said: readonly RejectedChange[],
  ): Steps<void> {
    const standing = new Set<WireItem>();
    yield* forEach(left.flatMap(itemsOf), (item) => {
      const answered = answers.originalOf(item) ?? item;
      standing.add(answered);
      this.replace(answered, item);
    });
    const entries = new SaidEntries();
    yield* forEach(said, (entry) => entries.add(entry));
    yield* forEach(given.flatMap(itemsOf), (item) => {
      if (standing.has(item)) return;
      const written = this.originalOf(item);
      const reason = entries.find(placeOfItem(item));
      this.reject(item, reason ?? entries.find(placeOfItem(written)));
    });
    yield* forEach(said, (entry) => {
      if (!entries.isHeard(entry)) this.addHint(entry);
    });
  }
}
