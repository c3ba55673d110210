/**
 * The record of a site: the newest HLC that it authored and that is stored, which tells a device
 * from where to send; the header HLC of the last snapshot that it was sent; whether it has to start
 * over; the size of its held rows, and its held floor.
 */

import { type HlcText, maxHlc } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { KVReader, KVTransaction } from '../../storage/kv-store.ts';
import type { HeldFloor } from './held-floor.ts';
import { siteKey } from './keys.ts';
import { unmark } from './position-marks.ts';
import { bytesToText } from './row.ts';

export interface SiteState {
  authored?: HlcText;
  /** The HLC of the header of the last snapshot that it was sent. */
  snapshot?: HlcText;
  /** Names the demand to start over from a snapshot; absent if there is none. */
  resync?: string;
  /** The approximate size of its held rows; absent for 0. */
  heldBytes?: number;
  floor?: HeldFloor;
}

function decode(bytes: Uint8Array | undefined): SiteState {
  return bytes === undefined ? {} : (JSON.parse(bytesToText(bytes)) as SiteState);
}

export async function readSiteState(reader: KVReader, site: SiteIdText): Promise<SiteState> {
  const [bytes] = await reader.getMany([siteKey(site)]);
  return decode(bytes);
}

export class SiteStates {
  readonly #reader: KVReader;
  readonly #stored = new Map<SiteIdText, SiteState>();
  readonly #newest = new Map<SiteIdText, HlcText>();
  readonly #gained = new Map<SiteIdText, number>();
  readonly #resyncs = new Map<SiteIdText, string>();
  readonly #floors = new Map<SiteIdText, HeldFloor>();

  constructor(reader: KVReader) {
    this.#reader = reader;
  }

  add(site: SiteIdText, bytes: Uint8Array | undefined): void {
    this.#stored.set(site, decode(bytes));
  }

  /** The position of the last snapshot that a site was sent. The site must be loaded. */
  snapshotOf(site: SiteIdText): HlcText | undefined {
    const headerHlc = this.#stored.get(site)?.snapshot;
    return headerHlc && unmark(headerHlc).position;
  }

  /** Reads sites that have not been read. */
  async load(sites: Iterable<SiteIdText>): Promise<void> {
    const missing = [...sites].filter((site) => !this.#stored.has(site));
    if (missing.length === 0) return;
    const values = await this.#reader.getMany(missing.map(siteKey));
    missing.forEach((site, i) => {
      this.add(site, values[i]);
    });
  }

  /** A change of this site's took effect. */
  authored(site: SiteIdText, hlc: HlcText): void {
    const known = this.#newest.get(site);
    this.#newest.set(site, known === undefined ? hlc : maxHlc(known, hlc));
  }

  /** The stored size of a site's held rows. The site must be loaded. */
  heldBytesOf(site: SiteIdText): number {
    return this.#stored.get(site)?.heldBytes ?? 0;
  }

  /** The held rows of a site grow by so many bytes, or shrink if negative. */
  gainedHeld(site: SiteIdText, bytes: number): void {
    this.#gained.set(site, (this.#gained.get(site) ?? 0) + bytes);
  }

  /** The site must be loaded. */
  floorOf(site: SiteIdText): HeldFloor | undefined {
    if (!this.#stored.has(site)) throw new Error('a site was not loaded before it was asked for');
    return this.#floors.get(site) ?? this.#stored.get(site)?.floor;
  }

  setFloor(site: SiteIdText, floor: HeldFloor): void {
    this.#floors.set(site, floor);
  }

  /** Whether a site has to start over. The site must be loaded. */
  mustResync(site: SiteIdText): boolean {
    return this.#resyncs.has(site) || this.#stored.get(site)?.resync !== undefined;
  }

  /** A site has to start over. @param demand names this demand */
  requireResync(site: SiteIdText, demand: string): void {
    this.#resyncs.set(site, demand);
  }

  async write(transaction: KVTransaction): Promise<void> {
    const sites = new Set([
      ...this.#newest.keys(),
      ...this.#gained.keys(),
      ...this.#resyncs.keys(),
      ...this.#floors.keys(),
    ]);
    await this.load(sites);
    for (const site of sites) {
      const stored = this.#stored.get(site) ?? {};
      const authored = laterOf(stored.authored, this.#newest.get(site));
      const heldBytes = Math.max(0, (stored.heldBytes ?? 0) + (this.#gained.get(site) ?? 0));
      const resync = this.#resyncs.get(site);
      const isSame = authored === stored.authored && heldBytes === (stored.heldBytes ?? 0);
      const floor = this.#floors.get(site);
      if (isSame && resync === undefined && floor === undefined) continue;
      if (floor !== undefined) stored.floor = floor;
      if (resync !== undefined) stored.resync = resync;
      if (authored !== undefined) stored.authored = authored;
      if (heldBytes > 0) stored.heldBytes = heldBytes;
      else delete stored.heldBytes;
      transaction.put(siteKey(site), Buffer.from(JSON.stringify(stored)));
    }
  }
}

function laterOf(a: HlcText | undefined, b: HlcText | undefined): HlcText | undefined {
  return a === undefined || b === undefined ? (a ?? b) : maxHlc(a, b);
}
