/**
 * Held floors: for sites that hold more refused changes than is recorded row by row, the HLC up to
 * which they may hold a change of any row. Such a site may not take what takes effect with a lesser
 * HLC, so that is sent to it again, under an HLC that wins there. That is sometimes needless, but
 * never missing.
 *
 * An idle site has to start over from a snapshot, in which nothing is older than its floor. Until
 * it asks for that, it gets no reverts.
 */

import type { Static } from 'typebox';
import { compareHlc, type HlcText, maxHlc } from '../../clock/hlc.ts';
import { type SiteIdText, siteIdToText } from '../../clock/site-id.ts';
import type { KVReader, KVTransaction } from '../../storage/kv-store.ts';
import type { Head } from './head.ts';
import { floorKey, kindRange } from './keys.ts';
import type { HeldFloorSchema } from './record-schemas.ts';
import { bytesToText } from './row.ts';

export type HeldFloor = Static<typeof HeldFloorSchema>;

function decode(bytes: Uint8Array): HeldFloor {
  return JSON.parse(bytesToText(bytes));
}

export async function readHeldFloor(
  reader: KVReader,
  site: SiteIdText,
): Promise<HeldFloor | undefined> {
  const [bytes] = await reader.getMany([floorKey(site)]);
  return bytes && decode(bytes);
}

/** The floors, as one transaction sees them. */
export class HeldFloors {
  readonly #reader: KVReader;
  readonly #head: () => Head;
  #bySite: Map<SiteIdText, HeldFloor> | undefined;
  readonly #changed = new Set<SiteIdText>();

  constructor(reader: KVReader, head: () => Head) {
    this.#reader = reader;
    this.#head = head;
  }

  /** Whether there may be a site that does not take a change with this HLC. */
  mayConcern(hlc: HlcText): boolean {
    const { heldFloor } = this.#head();
    return heldFloor !== undefined && compareHlc(hlc, heldFloor) <= 0;
  }

  /** To be called before the floors are read. */
  async load(): Promise<void> {
    if (this.#bySite !== undefined) return;
    const bySite = new Map<SiteIdText, HeldFloor>();
    if (this.#head().heldFloor !== undefined) {
      for await (const entries of this.#reader.iterate(kindRange('f'))) {
        for (const [key, value] of entries) {
          bySite.set(siteIdToText(key.subarray(1)), decode(value));
        }
      }
    }
    this.#bySite ??= bySite;
  }

  get #loaded(): Map<SiteIdText, HeldFloor> {
    if (this.#bySite !== undefined) return this.#bySite;
    if (this.#head().heldFloor === undefined) return new Map();
    throw new Error('the floors of sites were not loaded before they were asked for');
  }

  of(site: SiteIdText): HeldFloor | undefined {
    return this.#loaded.get(site);
  }

  /** Sites that may hold a change at least as new, and so need reverts. */
  *above(hlc: HlcText): Generator<[SiteIdText, HlcText]> {
    if (!this.mayConcern(hlc)) return;
    for (const [site, floor] of this.#loaded) {
      if (!floor.isIdle && compareHlc(hlc, floor.hlc) <= 0) yield [site, floor.hlc];
    }
  }

  /** A site may hold changes up to this HLC. To be called after `load`. */
  raise(site: SiteIdText, hlc: HlcText, isIdle: boolean): void {
    const known = this.#loaded.get(site);
    const floor: HeldFloor = { hlc: known === undefined ? hlc : maxHlc(known.hlc, hlc) };
    if (isIdle) floor.isIdle = true;
    this.#loaded.set(site, floor);
    this.#changed.add(site);
    const head = this.#head();
    if (isIdle && !known?.isIdle) head.idled = (head.idled ?? 0) + 1;
    head.heldFloor = head.heldFloor === undefined ? floor.hlc : maxHlc(head.heldFloor, floor.hlc);
  }

  write(transaction: KVTransaction): void {
    for (const site of this.#changed) {
      transaction.put(floorKey(site), Buffer.from(JSON.stringify(this.#loaded.get(site))));
    }
  }
}
