/**
 * Held floors: for sites that hold more refused changes than is recorded row by row, the HLC up to
 * which they may hold a change of any row. Such a site may not take what takes effect late, with a
 * lesser HLC.
 *
 * - Floors of some sites are listed, in their order: these sites are sent late changes again, under
 *   an HLC that wins there. That is sometimes needless, but never missing. A late change reads only
 *   the floors that are not less, however many sites there are.
 * - Beyond a number of them the least are unlisted: such a site is told nothing of late changes, and
 *   is idle from the next one on.
 * - An idle site has to start over from a snapshot, in which nothing is older than its floor. Until
 *   it asks for that, it gets no reverts. Then its floor is listed again.
 *
 * The floor of a site is in its record, and goes nowhere: its rows have the HLCs of that snapshot.
 */

import { compareHlc, HLC_MAX, HLC_MIN, type HlcText, maxHlc, minHlc } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { KVReader, KVTransaction } from '../../storage/kv-store.ts';
import type { Head } from './head.ts';
import { type HeldFloor, isIdle, isListed } from './held-floor.ts';
import { floorKey, floorKeyToListed, floorRange } from './keys.ts';
import type { SiteStates } from './site-state.ts';

const NOTHING = Buffer.alloc(0);

/** The floors, as one transaction sees them. Those of sites that it asks for must be loaded. */
export class HeldFloors {
  readonly #reader: KVReader;
  readonly #log: { readonly head: Head };
  readonly #sites: SiteStates;
  /** Those of `#changed` sites, and of others as far as they have been read. */
  readonly #listed = new Map<SiteIdText, HlcText>();
  /** All that are listed from here on have been read. */
  #readFrom: HlcText | undefined;
  /** Sites whose floors have changed, with the keys that these had in the list. */
  readonly #changed = new Map<SiteIdText, Buffer | undefined>();

  constructor(reader: KVReader, log: { readonly head: Head }, sites: SiteStates) {
    this.#reader = reader;
    this.#log = log;
    this.#sites = sites;
  }

  /** Whether there may be a site that does not take a change with this HLC. */
  mayConcern(hlc: HlcText): boolean {
    const { heldFloor } = this.#log.head;
    return heldFloor !== undefined && compareHlc(hlc, heldFloor) <= 0;
  }

  /** To be called before `above` is, for this HLC or a greater one. */
  async loadAbove(hlc: HlcText): Promise<void> {
    const readFrom = this.#readFrom;
    if (!this.mayConcern(hlc) || (readFrom !== undefined && compareHlc(readFrom, hlc) <= 0)) return;
    for await (const entries of this.#reader.iterate(floorRange(hlc, readFrom))) {
      for (const [key] of entries) {
        const { site, hlc } = floorKeyToListed(key);
        if (!this.#changed.has(site)) this.#listed.set(site, hlc);
      }
    }
    this.#readFrom = hlc;
  }

  /** The same for all of the changes; `undefined` if nothing is to be read. */
  loadFor(changes: readonly { hlc: HlcText }[]): Promise<void> | undefined {
    if (this.#log.head.heldFloor === undefined) return undefined;
    return this.loadAbove(changes.reduce((least, { hlc }) => minHlc(least, hlc), HLC_MAX));
  }

  of(site: SiteIdText): HeldFloor | undefined {
    return this.#sites.floorOf(site);
  }

  isIdle(site: SiteIdText): boolean {
    return isIdle(this.of(site), this.#log.head);
  }

  /** Sites that may hold a change at least as new, and so need reverts. */
  *above(hlc: HlcText): Generator<[SiteIdText, HlcText]> {
    if (!this.mayConcern(hlc)) return;
    if (this.#readFrom === undefined || compareHlc(hlc, this.#readFrom) < 0) {
      throw new Error('the floors of sites were not loaded before they were asked for');
    }
    for (const [site, floor] of this.#listed) {
      if (compareHlc(hlc, floor) <= 0) yield [site, floor];
    }
  }

  /** A change took effect. Unlisted sites that may not take it have to start over. */
  applied(hlc: HlcText): void {
    const head = this.#log.head;
    const { unlistedFloor } = head;
    if (unlistedFloor === undefined || compareHlc(hlc, unlistedFloor) > 0) return;
    head.lates = (head.lates ?? 0) + 1;
  }

  /** A site may hold changes up to this HLC. @param mustStartOver from now on it is idle */
  raise(site: SiteIdText, hlc: HlcText, mustStartOver: boolean): void {
    const known = this.of(site);
    const head = this.#log.head;
    const isIdled = mustStartOver || isIdle(known, head);
    const floor: HeldFloor = { hlc: known === undefined ? hlc : maxHlc(known.hlc, hlc) };
    if (isIdled) floor.isIdle = true;
    if (mustStartOver && !isIdle(known, head)) head.idled = (head.idled ?? 0) + 1;
    this.#set(site, floor);
  }

  /**
   * An idle site starts over.
   * @param after gives a greater HLC: this snapshot must win over an earlier one
   * @returns whether it was idle
   */
  begin(site: SiteIdText, after: (hlc: HlcText) => HlcText): boolean {
    const floor = this.of(site);
    if (floor === undefined || !this.isIdle(site)) return false;
    this.#set(site, { hlc: after(floor.hlc) });
    return true;
  }

  /** Unlists the least of them, if more than so many are listed. */
  async bound(most: number): Promise<void> {
    const head = this.#log.head;
    const excess = (head.listedFloors ?? 0) - most;
    if (excess <= 0) return;
    // Any of the first ones may have changed, and then stands for nothing.
    const limit = excess + this.#changed.size;
    const least = new Map(this.#listed);
    for await (const entries of this.#reader.iterate({ ...floorRange(HLC_MIN), limit })) {
      for (const [key] of entries) {
        const { site, hlc } = floorKeyToListed(key);
        if (!this.#changed.has(site)) least.set(site, hlc);
      }
    }
    const inOrder = [...least].sort(([, a], [, b]) => compareHlc(a, b)).slice(0, excess);
    await this.#sites.load(inOrder.map(([site]) => site));
    for (const [site, hlc] of inOrder) this.#set(site, { hlc, lates: head.lates ?? 0 });
  }

  #set(site: SiteIdText, floor: HeldFloor): void {
    const before = this.of(site);
    const head = this.#log.head;
    if (!this.#changed.has(site)) {
      this.#changed.set(site, isListed(before) ? floorKey(before.hlc, site) : undefined);
    }
    const gained = Number(isListed(floor)) - Number(isListed(before));
    if (gained !== 0) head.listedFloors = (head.listedFloors ?? 0) + gained;
    head.heldFloor = maxHlc(head.heldFloor ?? HLC_MIN, floor.hlc);
    if (floor.lates !== undefined) {
      head.unlistedFloor = maxHlc(head.unlistedFloor ?? HLC_MIN, floor.hlc);
    }
    if (isListed(floor)) this.#listed.set(site, floor.hlc);
    else this.#listed.delete(site);
    this.#sites.setFloor(site, floor);
  }

  write(transaction: KVTransaction): void {
    for (const [site, before] of this.#changed) {
      if (before !== undefined) transaction.delete(before);
      const floor = this.of(site);
      if (isListed(floor)) transaction.put(floorKey(floor.hlc, site), NOTHING);
    }
  }
}
