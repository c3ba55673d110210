/** What sites hold of the rows that one transaction works on: see `held-rows.ts`. */

import type { SiteIdText } from '../clock/site-id.ts';
import type { KVReader, KVTransaction } from '../storage/kv-store.ts';
import type { Head } from './head.ts';
import { decodeHeldRow, encodeHeldRow, type HeldRow, type Holding } from './held-rows.ts';
import { heldKey } from './keys.ts';
import { type RowAddress, readInTurns } from './row-set.ts';

interface Loaded extends HeldRow {
  address: RowAddress;
  wasStored: boolean;
  isChanged: boolean;
}

export class HeldSet {
  readonly #reader: KVReader;
  readonly #head: () => Head;
  readonly #rows = new Map<string, Loaded | undefined>();

  /** @param head where there is no such row in the database, none is read */
  constructor(reader: KVReader, head: () => Head) {
    this.#reader = reader;
    this.#head = head;
  }

  /** Whether there may be anything at all. */
  get isEmpty(): boolean {
    return (this.#head().heldRows ?? 0) === 0 && this.#rows.size === 0;
  }

  async load(addresses: readonly RowAddress[]): Promise<void> {
    if ((this.#head().heldRows ?? 0) === 0) return;
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
      const loaded = bytes && {
        ...decodeHeldRow(bytes),
        ...{ address, wasStored: true, isChanged: false },
      };
      this.#rows.set(textOf(address), loaded);
    }
  }

  /** Of a row that has been loaded. */
  get(address: RowAddress): HeldRow | undefined {
    const held = this.#rows.get(textOf(address));
    if (held === undefined || held.sites.size === 0) return undefined;
    // Whoever asks may change it.
    held.isChanged = true;
    return held;
  }

  /** What a site holds of a row, to be added to. @param pk JSON */
  holding(address: RowAddress, pk: string, site: SiteIdText): Holding {
    const key = textOf(address);
    let held = this.#rows.get(key);
    if (held === undefined) {
      held = { address, pk, sites: new Map(), wasStored: false, isChanged: true };
      this.#rows.set(key, held);
    }
    held.isChanged = true;
    let holding = held.sites.get(site);
    if (holding === undefined) {
      holding = { cells: new Map() };
      held.sites.set(site, holding);
    }
    return holding;
  }

  write(transaction: KVTransaction): void {
    let gained = 0;
    for (const held of this.#rows.values()) {
      if (!held?.isChanged) continue;
      const { tableId, identity } = held.address;
      const bytes = encodeHeldRow(held);
      if (bytes !== undefined) transaction.put(heldKey(tableId, identity), bytes);
      else if (held.wasStored) transaction.delete(heldKey(tableId, identity));
      gained += Number(bytes !== undefined) - Number(held.wasStored);
    }
    const head = this.#head();
    if (gained !== 0) head.heldRows = Math.max(0, (head.heldRows ?? 0) + gained);
  }
}

function textOf({ tableId, identity }: RowAddress): string {
  return `${tableId} ${identity}`;
}
