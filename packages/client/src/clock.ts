/**
 * The hybrid logical clock of a site: what it issues rises strictly, and is later than everything
 * that the site has seen. So an edit that was made in the knowledge of another one beats it.
 */

import { compareHlc, decodeHlc, encodeHlc, type HlcText } from '../../../src/clock/hlc.ts';
import { type SiteIdText, siteIdToText, textToSiteId } from '../../../src/clock/site-id.ts';

const COUNTER_BITS = 16n;
/** A tab has so many of the op sequence numbers of one clock value; the number of the tab is above them. */
const OPS_PER_TAB = 2 ** 20;
export const TABS_MAX = 2 ** 12;

export class SiteClock {
  readonly #siteId: Uint8Array;
  readonly #now: () => number;
  /** Wall time and counter of the last HLC as one number: a counter that overflows moves the wall time. */
  #time = 0n;
  #offsetMs = 0;

  /** @param now the device's wall clock, in milliseconds since 1970 */
  constructor(siteId: SiteIdText, now: () => number) {
    this.#siteId = textToSiteId(siteId);
    this.#now = now;
  }

  /** The corrected wall time, in milliseconds. */
  now(): number {
    return Math.max(0, Math.round(this.#now() + this.#offsetMs));
  }

  /** Goes on behind an HLC that was seen. */
  observe(hlc: HlcText): void {
    const { wallTime, counter } = decodeHlc(hlc);
    const time = (wallTime << COUNTER_BITS) | BigInt(counter);
    if (time > this.#time) this.#time = time;
  }

  /** The server's time less the device's, in milliseconds; 0 where the device's was not found wrong. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** Goes by the server's time from now on, and may go back: `observe` everything that counts after this. */
  correct(serverTimeMs: number): void {
    this.correctBy(serverTimeMs - this.#now());
  }

  /** The same, by what another clock of this device was found wrong by. */
  correctBy(offsetMs: number): void {
    this.#offsetMs = offsetMs;
    this.#time = 0n;
  }

  /**
   * The time of a new transaction.
   * @param tab the number of the tab among those that share the site, from 0
   * @returns gives the HLC of each change by its place in the transaction
   */
  next(tab = 0): (opSeq: number) => HlcText {
    const now = BigInt(this.now()) << COUNTER_BITS;
    this.#time = now > this.#time ? now : this.#time + 1n;
    const wallTime = this.#time >> COUNTER_BITS;
    const counter = Number(this.#time - (wallTime << COUNTER_BITS));
    const time = { wallTime, counter, siteId: this.#siteId };
    return (opSeq) => {
      if (opSeq >= OPS_PER_TAB)
        throw new RangeError(`a transaction has at most ${OPS_PER_TAB} changes`);
      return encodeHlc({ ...time, opSeq: tab * OPS_PER_TAB + opSeq });
    };
  }
}

/** The site that issued an HLC: `hlcSite` in less code, for what is asked seldom. */
export function siteOf(hlc: HlcText): SiteIdText {
  return siteIdToText(decodeHlc(hlc).siteId);
}

/** The greater of two HLCs, of which either may be missing. */
export function later(a: HlcText | undefined, b: HlcText | undefined): HlcText | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareHlc(a, b) >= 0 ? a : b;
}
