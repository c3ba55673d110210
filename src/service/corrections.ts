/**
 * What validate hooks made of a batch, told apart: what they left as it was goes on verbatim, as
 * its author's; what they rewrote is the coordinator's own from now on. Under the author's HLC
 * a rewritten value would never reach the author, who has another value under that HLC. What is
 * not there any more was refused.
 */

import { encodeHlc } from '../clock/hlc.ts';
import { siteIdToText } from '../clock/site-id.ts';
import { untouchedOrigin } from '../wire/lazy-change-set.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../wire/schemas.ts';
import {
  type ChangeSet,
  decodeChange,
  decodeMigration,
  encodeChange,
  encodeMigration,
} from '../wire/types.ts';

export interface Corrected {
  changeSets: readonly WireChangeSet[];
  /** Each with the HLC of the change that it answers. */
  authored: readonly WireChangeSet[];
  /** What no hook gave back, in any form. */
  refused: readonly WireChangeSet[];
}

interface Kept<Item> {
  kept: Item[];
  rewritten: Item[];
}

/** The originals of one kind, by their HLCs, and which of them were given back. */
class Originals<Item extends { hlc: string }> {
  readonly #byHlc = new Map<string, Item[]>();
  readonly #answered = new Set<string>();
  readonly #normalise: (item: Item) => Item;

  /** @param normalise as it would come back from a hook that left it alone */
  constructor(items: Iterable<Item>, normalise: (item: Item) => Item) {
    this.#normalise = normalise;
    for (const item of items) {
      const known = this.#byHlc.get(item.hlc);
      if (known === undefined) this.#byHlc.set(item.hlc, [item]);
      else known.push(item);
    }
  }

  answer(hlc: string): void {
    this.#answered.add(hlc);
  }

  separate(items: readonly Item[]): Kept<Item> {
    const separated: Kept<Item> = { kept: [], rewritten: [] };
    for (const item of items) {
      this.answer(item.hlc);
      const text = JSON.stringify(item);
      // A value may have more than one spelling, so the original is put as the hook saw it.
      const original = this.#byHlc
        .get(item.hlc)
        ?.find((one) => JSON.stringify(this.#normalise(one)) === text);
      if (original === undefined) separated.rewritten.push(item);
      else separated.kept.push(original);
    }
    return separated;
  }

  unanswered = ({ hlc }: Item): boolean => !this.#answered.has(hlc);
}

/** @param originals as the client sent them; `approved` may share nothing with them */
export function separateCorrections(
  originals: readonly WireChangeSet[],
  approved: readonly ChangeSet[],
): Corrected {
  const verbatim = approved.map(untouchedOrigin);
  if (verbatim.length === originals.length && verbatim.every((set, i) => set === originals[i])) {
    return { changeSets: originals, authored: [], refused: [] };
  }
  const changes = new Originals<WireChange>(
    originals.flatMap((set) => set.changes),
    (change) => encodeChange(decodeChange(change)),
  );
  const migrations = new Originals<WireMigration>(
    originals.flatMap((set) => set.schemaMigrations),
    (migration) => encodeMigration(decodeMigration(migration)),
  );
  const changeSets: WireChangeSet[] = [];
  const authored: WireChangeSet[] = [];
  for (const changeSet of approved) {
    const origin = untouchedOrigin(changeSet);
    if (origin !== undefined) {
      for (const { hlc } of origin.changes) changes.answer(hlc);
      for (const { hlc } of origin.schemaMigrations) migrations.answer(hlc);
      changeSets.push(origin);
      continue;
    }
    const envelope = {
      siteId: siteIdToText(changeSet.siteId),
      transactionId: changeSet.transactionId,
      hlc: encodeHlc(changeSet.hlc),
    };
    const ofChanges = changes.separate(changeSet.changes.map(encodeChange));
    const ofMigrations = migrations.separate(changeSet.schemaMigrations.map(encodeMigration));
    const kept = { ...envelope, changes: ofChanges.kept, schemaMigrations: ofMigrations.kept };
    const rewritten = {
      ...envelope,
      changes: ofChanges.rewritten,
      schemaMigrations: ofMigrations.rewritten,
    };
    if (!isEmpty(kept) || isEmpty(rewritten)) changeSets.push(kept);
    if (!isEmpty(rewritten)) authored.push(rewritten);
  }
  const refused = originals
    .map((original) => ({
      ...original,
      changes: original.changes.filter(changes.unanswered),
      schemaMigrations: original.schemaMigrations.filter(migrations.unanswered),
    }))
    .filter((changeSet) => !isEmpty(changeSet));
  return { changeSets, authored, refused };
}

function isEmpty({ changes, schemaMigrations }: WireChangeSet): boolean {
  return changes.length === 0 && schemaMigrations.length === 0;
}
