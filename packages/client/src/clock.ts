/**
 * The hybrid logical clock of a site: what it issues rises strictly, and is later than everything
 * that the site has seen. So an edit that was made in the knowledge of another one beats it.
 */

import {
  COUNTER_MAX,
  compareHlc,
  encodeHlc,
  type HlcText,
  hlcCounter,
  hlcWallTimeMs,
} from '../../../src/clock/hlc.ts';
import { type SiteIdText, textToSiteId } from '../../../src/clock/site-id.ts';

/** A tab has so many of the op sequence numbers of one clock value; the number of the tab is above them. */
const OPS_PER_TAB = 2 ** 20;
export const TABS_MAX = 2 ** 12;

export class SiteClock {
  readonly #siteId: Uint8Array;
  readonly #now: () => number;
  #wallTimeMs = 0;
  #counter = 0;
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
    const wallTimeMs = hlcWallTimeMs(hlc);
    const counter = hlcCounter(hlc);
    if (wallTimeMs < this.#wallTimeMs) return;
    if (wallTimeMs === this.#wallTimeMs && counter <= this.#counter) return;
    this.#wallTimeMs = wallTimeMs;
    this.#counter = counter;
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
    this.#wallTimeMs = 0;
    this.#counter = 0;
  }

  /**
   * The time of a new transaction.
   * @param tab the number of the tab among those that share the site, from 0
   * @returns gives the HLC of each change by its place in the transaction
   */
  next(tab = 0): (opSeq: number) => HlcText {
    const now = this.now();
    if (now > this.#wallTimeMs) {
      this.#wallTimeMs = now;
      this.#counter = 0;
    } else if (this.#counter < COUNTER_MAX) {
      this.#counter++;
    } else {
      this.#wallTimeMs++;
      this.#counter = 0;
    }
    const time = {
      wallTime: BigInt(this.#wallTimeMs),
      counter: this.#counter,
      siteId: this.#siteId,
    };
    return (opSeq) => {
      if (opSeq >= OPS_PER_TAB)
        throw new RangeError(`a transaction has at most ${OPS_PER_TAB} changes`);
      return encodeHlc({ ...time, opSeq: tab * OPS_PER_TAB + opSeq });
    };
  }
}

/** The greater of two HLCs, of which either may be missing. */
export function later(a: HlcText | undefined, b: HlcText | undefined): HlcText | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareHlc(a, b) >= 0 ? a : b;
}
