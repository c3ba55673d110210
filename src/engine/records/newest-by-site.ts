/** The newest HLC of each site among several HLCs. Most often they all are of one site. */

import { type HlcText, hlcDifference, maxHlc, OP_SEQ_CHAR, rankAt } from '../../clock/hlc.ts';
import { hlcSite, isOfSameSite, type SiteIdText } from '../../clock/site-id.ts';

export class NewestBySite {
  /** The site of the HLC that was added last, and its newest HLC so far. */
  #site: SiteIdText | undefined;
  #newest: HlcText = '';
  /** The newest HLCs of the other sites. An entry of `#site` may be out of date. */
  #others: Map<SiteIdText, HlcText> | undefined;

  add(hlc: HlcText): void {
    // HLCs of one transaction differ only in their opSeq, for which one comparison suffices.
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

  /** Each site with its newest HLC. */
  get entries(): Iterable<[SiteIdText, HlcText]> {
    if (this.#site === undefined) return [];
    if (this.#others === undefined) return [[this.#site, this.#newest]];
    return this.#others.set(this.#site, this.#newest);
  }
}
