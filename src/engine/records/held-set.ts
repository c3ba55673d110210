/** What sites hold of the rows that one transaction works on: see `held-rows.ts`. */

import type { SiteIdText } from '../../clock/site-id.ts';
import type { KVReader, KVTransaction } from '../../storage/kv-store.ts';
import type { Head } from './head.ts';
import {
  decodeHeldRow,
  encodeHeldRow,
  type HeldRow,
  type Holding,
  heldBytesBySite,
} from './held-rows.ts';
import { heldKey } from './keys.ts';
import { type RowAddress, readInTurns } from './row-set.ts';

interface Loaded extends HeldRow {
  address: RowAddress;
  wasStored: boolean;
  /** By site, what of it has been counted. */
  counted: ReadonlyMap<SiteIdText, number>;
  isChanged: boolean;
}

export class HeldSet {
  readonly #reader: KVReader;
  readonly #head: () => Head;
  readonly #rows = new Map<string, Loaded | undefined>();
  /** Those that somebody may have changed since they were counted. */
  readonly #uncounted = new Set<Loaded>();
  readonly #gained = new Map<SiteIdText, number>();
  #gainedOfAll = 0;

  /** @param head where there is no such row in the database, none is read */
  constructor(reader: KVReader, head: () => Head) {
    this.#reader = reader;
    this.#head = head;
  }

  /** Whether there may be anything at all. */
  get isEmpty(): boolean {
    return (this.#head().heldBytes ?? 0) === 0 && this.#rows.size === 0;
  }

  async load(addresses: readonly RowAddress[]): Promise<void> {
    if ((this.#head().heldBytes ?? 0) === 0) return;
    const missing = addresses.filter((address) => !this.#rows.has(textOf(address)));
    if (missing.length === 0) return;
    const values: (Uint8Array | undefined)[] = [];
    await readInTurns(
      this.#reader,
      missing.map(({ tableId, identity }) => heldKey(tableId, identity)),
      values,
    );
    for (const [i, address] of missing.entries()) {
      const bytes = values[i];
      const held = bytes && decodeHeldRow(bytes);
      const loaded = held && {
        ...held,
        ...{ address, wasStored: true, isChanged: false, counted: heldBytesBySite(held) },
      };
      this.#rows.set(textOf(address), loaded);
    }
  }

  /** Of a row that has been loaded. */
  get(address: RowAddress): HeldRow | undefined {
    const held = this.#rows.get(textOf(address));
    if (held === undefined || held.sites.size === 0) return undefined;
    this.#mayChange(held);
    return held;
  }

  /** What a site holds of a row, to be added to. @param pk JSON */
  holding(address: RowAddress, pk: string, site: SiteIdText): Holding {
    const key = textOf(address);
    let held = this.#rows.get(key);
    if (held === undefined) {
      held = {
        ...{ address, pk, sites: new Map(), wasStored: false, isChanged: true },
        counted: new Map(),
      };
      this.#rows.set(key, held);
    }
    this.#mayChange(held);
    let holding = held.sites.get(site);
    if (holding === undefined) {
      holding = { cells: new Map() };
      held.sites.set(site, holding);
    }
    return holding;
  }

  #mayChange(held: Loaded): void {
    held.isChanged = true;
    this.#uncounted.add(held);
  }

  /** By how much what is held has grown, or shrunk: of each site, and of all. */
  gainedBytes(): { bySite: ReadonlyMap<SiteIdText, number>; ofAll: number } {
    const add = (site: SiteIdText, bytes: number) => {
      this.#gained.set(site, (this.#gained.get(site) ?? 0) + bytes);
      this.#gainedOfAll += bytes;
    };
    for (const held of this.#uncounted) {
      for (const [site, bytes] of held.counted) add(site, -bytes);
      held.counted = heldBytesBySite(held);
      for (const [site, bytes] of held.counted) add(site, bytes);
    }
    this.#uncounted.clear();
    return { bySite: this.#gained, ofAll: this.#gainedOfAll };
  }

  /** @param onGained told of each site what was added of it, or taken away */
  write(transaction: KVTransaction, onGained: (site: SiteIdText, bytes: number) => void): void {
    for (const held of this.#rows.values()) {
      if (!held?.isChanged) continue;
      const { tableId, identity } = held.address;
      const bytes = encodeHeldRow(held);
      if (bytes !== undefined) transaction.put(heldKey(tableId, identity), bytes);
      else if (held.wasStored) transaction.delete(heldKey(tableId, identity));
    }
    const { bySite, ofAll } = this.gainedBytes();
    for (const [site, bytes] of bySite) if (bytes !== 0) onGained(site, bytes);
    const head = this.#head();
    if (ofAll !== 0) head.heldBytes = Math.max(0, (head.heldBytes ?? 0) + ofAll);
  }
}

function textOf({ tableId, identity }: RowAddress): string {
  return `${tableId} ${identity}`;
}
