/**
 * Whose changes a site may send. A client writes under the site id with which it was let in; only
 * the site that dated a change may send it. But today's clients push back changes that they have
 * received, for instance after a bootstrap. Such a change is stored already, or beaten by what is
 * stored, so it takes no effect. A forgery would take effect. This tells them apart, since merging
 * is monotonic: a change that was stored once never takes effect again, even if it was forgotten
 * since.
 */

import type { HlcText } from '../../clock/hlc.ts';
import { HlcsOfSite, type SiteIdText, textToSiteId } from '../../clock/site-id.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';

/**
 * - `known`: a change that another site has dated is refused if it would take effect
 * - `accept`: it is merged like the sender's own
 * - `refuse`: it is refused in any case
 */
export type ForeignAuthors = 'known' | 'accept' | 'refuse';

/** One item of a batch. */
export type BatchItem = WireChange | WireMigration;

export class Sender {
  readonly siteId: SiteIdText;
  readonly foreignAuthors: ForeignAuthors;
  readonly #own: HlcsOfSite;

  /** @param siteId the site that the client was let in with */
  constructor(siteId: SiteIdText, foreignAuthors: ForeignAuthors) {
    this.siteId = siteId;
    this.foreignAuthors = foreignAuthors;
    this.#own = new HlcsOfSite(textToSiteId(siteId));
  }

  /** Whether another site has dated it, and such changes are not accepted. */
  isForeign({ hlc }: { hlc: HlcText }): boolean {
    return this.foreignAuthors !== 'accept' && !this.#own.has(hlc);
  }

  /**
   * The same, or whether the coordinator has dated it: no client may send that, even with `accept`.
   */
  isForeignOr(item: { hlc: HlcText }, coordinator: HlcsOfSite): boolean {
    return this.isForeign(item) || coordinator.has(item.hlc);
  }

  /** Keeps of change sets the items that are foreign or the coordinator's, or all others. */
  pick(
    sets: readonly WireChangeSet[],
    which: 'foreign' | 'own',
    coordinator: HlcsOfSite,
  ): readonly WireChangeSet[] {
    const isWanted = (item: BatchItem) =>
      this.isForeignOr(item, coordinator) === (which === 'foreign');
    return withItems(sets, isWanted);
  }
}

/** Keeps the wanted items of change sets, and drops change sets that have none. */
export function withItems(
  sets: readonly WireChangeSet[],
  isWanted: (item: BatchItem) => boolean,
): WireChangeSet[] {
  return sets.flatMap((set) => {
    const changes = set.changes.filter(isWanted);
    const schemaMigrations = set.schemaMigrations.filter(isWanted);
    const left = changes.length + schemaMigrations.length;
    if (left === set.changes.length + set.schemaMigrations.length) return [set];
    return left === 0 ? [] : [{ ...set, changes, schemaMigrations }];
  });
}
