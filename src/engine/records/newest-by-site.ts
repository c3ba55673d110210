/** The newest HLC of each site among several HLCs. Most often they all are of one site. */

import { type HlcText, maxHlc, OP_SEQ_CHAR, rankAt } from '../../clock/hlc.ts';
import { hlcSite, isOfSameSite, type SiteIdText } from '../../clock/site-id.ts';

export class NewestBySite {
  /** The site of the HLC that was added last, and its newest HLC so far. */
  #site: SiteIdText | undefined;
  #newest: HlcText = '';
  /** Its first characters: HLCs of one transaction differ only behind them, in their opSeq. */
  #start = '';
  /** The newest HLCs of the other sites. An entry of `#site` may be out of date. */
  #others: Map<SiteIdText, HlcText> | undefined;

  add(hlc: HlcText): void {
    if (this.#site !== undefined && hlc.startsWith(this.#start)) {
      if (hasGreaterOpSeq(hlc, this.#newest)) this.#newest = hlc;
      return;
    }
    this.#set(this.#newestWith(hlc));
  }

  #set(newest: HlcText): void {
    this.#newest = newest;
    this.#start = newest.slice(0, OP_SEQ_CHAR);
  }

  /** The newest of the HLC's site, which is the present one from then on. */
  #newestWith(hlc: HlcText): HlcText {
    if (this.#site !== undefined) {
      if (isOfSameSite(hlc, this.#newest)) return maxHlc(hlc, this.#newest);
      this.#others ??= new Map();
      this.#others.set(this.#site, this.#newest);
    }
    this.#site = hlcSite(hlc);
    return maxHlc(hlc, this.#others?.get(this.#site) ?? hlc);
  }

  /** Each site with its newest HLC. */
  get entries(): Iterable<[SiteIdText, HlcText]> {
    if (this.#site === undefined) return [];
    if (this.#others === undefined) return [[this.#site, this.#newest]];
    return this.#others.set(this.#site, this.#newest);
  }
}

/** Of two HLCs that are equal up to there. */
function hasGreaterOpSeq(a: HlcText, b: HlcText): boolean {
  let at = OP_SEQ_CHAR;
  while (at < a.length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  return rankAt(a, at) > rankAt(b, at);
}
