/** The newest HLC of each site among several, which are most often all one site's. */

import { type HlcText, maxHlc } from '../clock/hlc.ts';
import { hlcSite, isOfSameSite, type SiteIdText } from '../clock/site-id.ts';

export class NewestBySite {
  readonly #newestBySite = new Map<SiteIdText, HlcText>();
  /** The site of the HLC that was added last, and its newest so far. */
  #site: SiteIdText | undefined;
  #newest: HlcText = '';

  add(hlc: HlcText): void {
    if (this.#site !== undefined && isOfSameSite(hlc, this.#newest)) {
      this.#newest = maxHlc(hlc, this.#newest);
      return;
    }
    this.#keep();
    this.#site = hlcSite(hlc);
    this.#newest = maxHlc(hlc, this.#newestBySite.get(this.#site) ?? hlc);
  }

  #keep(): void {
    if (this.#site !== undefined) this.#newestBySite.set(this.#site, this.#newest);
  }

  /** Of what has been added so far. */
  get entries(): ReadonlyMap<SiteIdText, HlcText> {
    this.#keep();
    return this.#newestBySite;
  }
}
