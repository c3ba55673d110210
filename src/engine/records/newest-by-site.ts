/** The newest HLC of each site among several, which are most often all one site's. */

import { type HlcText, hlcDifference, maxHlc, OP_SEQ_CHAR, rankAt } from '../../clock/hlc.ts';
import { hlcSite, isOfSameSite, type SiteIdText } from '../../clock/site-id.ts';

export class NewestBySite {
  /** The site of the HLC that was added last, and its newest so far. */
  #site: SiteIdText | undefined;
  #newest: HlcText = '';
  /** Of the others; of that one it may be out of date. */
  #others: Map<SiteIdText, HlcText> | undefined;

  add(hlc: HlcText): void {
    // Those of one transaction differ in their opSeq only, which one look at them tells.
    const at = hlcDifference(hlc, this.#newest);
    if (at >= OP_SEQ_CHAR) {
      if (rankAt(hlc, at) > rankAt(this.#newest, at)) this.#newest = hlc;
      return;
    }
    if (this.#site !== undefined && isOfSameSite(hlc, this.#newest)) {
      this.#newest = maxHlc(hlc, this.#newest);
      return;
    }
    if (this.#site !== undefined) {
      this.#others ??= new Map();
      this.#others.set(this.#site, this.#newest);
    }
    this.#site = hlcSite(hlc);
    this.#newest = maxHlc(hlc, this.#others?.get(this.#site) ?? hlc);
  }

  /** Of what has been added so far. */
  get entries(): Iterable<[SiteIdText, HlcText]> {
    if (this.#site === undefined) return [];
    if (this.#others === undefined) return [[this.#site, this.#newest]];
    return this.#others.set(this.#site, this.#newest);
  }
}
