/**
 * Whose changes one site may bring. Who is let in with a site id writes under that one; what another
 * site has dated is that site's to bring. Today's clients push back what they have received, after a
 * bootstrap for instance: that is stored already, or beaten by what is, and takes no effect. It is
 * told from a forgery by just this: merging is monotonic, so what was stored once never takes effect
 * again, however much of it was forgotten since.
 */

import { encodeHlc, type HlcText } from '../../clock/hlc.ts';
import { isOfSameSite, type SiteIdText, textToSiteId } from '../../clock/site-id.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../protocol/schemas.ts';

/**
 * - `known`: what another site has dated is refused if it would take effect
 * - `accept`: it is taken like the sender's own
 * - `refuse`: it is refused, known or not
 */
export type ForeignAuthors = 'known' | 'accept' | 'refuse';

/** What a batch is made of. */
export type BatchItem = WireChange | WireMigration;

export class Sender {
  readonly siteId: SiteIdText;
  readonly foreignAuthors: ForeignAuthors;
  /** An HLC of the site's. */
  readonly #sample: HlcText;

  /** @param siteId the site that the client was let in with */
  constructor(siteId: SiteIdText, foreignAuthors: ForeignAuthors) {
    this.siteId = siteId;
    this.foreignAuthors = foreignAuthors;
    const site = textToSiteId(siteId);
    this.#sample = encodeHlc({ wallTime: 0n, counter: 0, siteId: site, opSeq: 0 });
  }

  /** Whether another site has dated it, and that matters. */
  isForeign({ hlc }: { hlc: HlcText }): boolean {
    return this.foreignAuthors !== 'accept' && !isOfSameSite(hlc, this.#sample);
  }

  /**
   * The same, and also what the coordinator has dated: that is nobody's to bring, whatever is accepted.
   * @param coordinator an HLC of its site's
   */
  isForeignOr(item: { hlc: HlcText }, coordinator: HlcText): boolean {
    return this.isForeign(item) || isOfSameSite(item.hlc, coordinator);
  }

  /** Change sets with those of their items that are foreign or the coordinator's, or with the others. */
  pick(
    sets: readonly WireChangeSet[],
    which: 'foreign' | 'own',
    coordinator: HlcText,
  ): readonly WireChangeSet[] {
    const isWanted = (item: BatchItem) =>
      this.isForeignOr(item, coordinator) === (which === 'foreign');
    return withItems(sets, isWanted);
  }
}

/** Change sets with those of their items that are wanted; without those of which none is. */
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
