/** The held rows (see `held-rows.ts`) that one transaction works on. */

import { compareHlc, type HlcText, maxHlc } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import { pkIdentity } from '../../protocol/values.ts';
import type { KVReader, KVTransaction } from '../../storage/kv-store.ts';
import type { Head } from './head.ts';
import {
  countTold,
  decodeHeldRow,
  encodeHeldRow,
  type HeldRow,
  type Holding,
  heldBytesBySite,
  heldOf,
} from './held-rows.ts';
import { heldKey, heldKeyToTable, kindRange } from './keys.ts';
import type { Pace } from './pace.ts';
import { type RowAddress, readInTurns } from './row-set.ts';

interface Loaded extends HeldRow {
  address: RowAddress;
  wasStored: boolean;
  /** By site, the bytes that have been counted. */
  counted: ReadonlyMap<SiteIdText, number>;
  isChanged: boolean;
}

/** What `forget` has removed. */
export interface Forgotten {
  /** The newest HLC of each site in it. */
  newest: ReadonlyMap<SiteIdText, HlcText>;
  /** The number of changes of reverts in the log that are not needed any more. */
  told: number;
}

export class HeldSet {
  readonly #reader: KVReader;
  readonly #log: { readonly head: Head };
  readonly #rows = new Map<string, Loaded | undefined>();
  /** Rows that were given out since they were counted, and so may have changed. */
  readonly #uncounted = new Set<Loaded>();
  readonly #gained = new Map<SiteIdText, number>();
  #gainedOfAll = 0;

  /** @param log its head says whether the database has any held row; if not, none is read */
  constructor(reader: KVReader, log: { readonly head: Head }) {
    this.#reader = reader;
    this.#log = log;
  }

  /** Whether there is surely no held row. */
  get isEmpty(): boolean {
    return (this.#log.head.heldBytes ?? 0) === 0 && this.#rows.size === 0;
  }

  /** Whether this transaction knows of something that a site holds of a table. */
  hasOf(tableId: number): boolean {
    for (const row of this.#rows.values()) {
      if (row !== undefined && row.address.tableId === tableId && row.sites.size > 0) return true;
    }
    return false;
  }

  async load(addresses: readonly RowAddress[]): Promise<void> {
    if ((this.#log.head.heldBytes ?? 0) === 0) return;
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
      if (bytes === undefined) this.#rows.set(textOf(address), undefined);
      else this.#add(address, decodeHeldRow(bytes));
    }
  }

  /** Adds a row as it is stored. */
  #add(address: RowAddress, held: HeldRow): void {
    const counted = heldBytesBySite(held);
    const loaded = { ...held, address, wasStored: true, isChanged: false, counted };
    this.#rows.set(textOf(address), loaded);
  }

  /** What sites hold of a row that has been loaded. */
  get(address: RowAddress): HeldRow | undefined {
    const held = this.#rows.get(textOf(address));
    if (held === undefined || held.sites.size === 0) return undefined;
    this.#mayChange(held);
    return held;
  }

  /** What a site holds of a row, for the caller to change. @param pk JSON */
  holding(address: RowAddress, pk: string, site: SiteIdText): Holding {
    const key = textOf(address);
    let held = this.#rows.get(key);
    if (held === undefined) {
      held = {
        address,
        pk,
        sites: new Map(),
        wasStored: false,
        isChanged: true,
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

  /** Whether rows may have changed since they were counted. */
  get isTouched(): boolean {
    return this.#uncounted.size > 0;
  }

  /** Counts rows that may have changed. @returns their sites */
  recount(): ReadonlySet<SiteIdText> {
    const touched = new Set<SiteIdText>();
    const add = (site: SiteIdText, bytes: number) => {
      touched.add(site);
      this.#gained.set(site, this.gainedOf(site) + bytes);
      this.#gainedOfAll += bytes;
    };
    for (const held of this.#uncounted) {
      for (const [site, bytes] of held.counted) add(site, -bytes);
      held.counted = heldBytesBySite(held);
      for (const [site, bytes] of held.counted) add(site, bytes);
    }
    this.#uncounted.clear();
    return touched;
  }

  /**
   * By how many bytes the records of a site had grown in this transaction at the last count; may be
   * negative.
   */
  gainedOf(site: SiteIdText): number {
    return this.#gained.get(site) ?? 0;
  }

  /** The same of all sites together. */
  get gainedOfAll(): number {
    return this.#gainedOfAll;
  }

  /** The bytes of each site's records in the whole database, with this transaction's changes. */
  async bytesBySite(pace: Pace): Promise<Map<SiteIdText, number>> {
    this.recount();
    const bySite = new Map(this.#gained);
    for await (const [, held] of this.#stored(pace)) {
      for (const [site, bytes] of heldBytesBySite(held)) {
        bySite.set(site, (bySite.get(site) ?? 0) + bytes);
      }
    }
    return bySite;
  }

  /**
   * Removes records of some sites, in the whole database.
   * @param sites each with the position up to which it has received the log: only records whose
   *   reverts it has received are removed
   */
  async forget(sites: ReadonlyMap<SiteIdText, HlcText>, pace: Pace): Promise<Forgotten> {
    for await (const [key, held] of this.#stored(pace)) {
      if (![...sites.keys()].some((site) => held.sites.has(site))) continue;
      const identity = pkIdentity(JSON.parse(held.pk));
      const address = { tableId: heldKeyToTable(key), identity };
      if (!this.#rows.has(textOf(address))) this.#add(address, held);
    }
    const newest = new Map<SiteIdText, HlcText>();
    let told = 0;
    for (const held of this.#rows.values()) {
      if (held === undefined) continue;
      for (const [site, heard] of sites) {
        const holding = held.sites.get(site);
        if (holding === undefined || !isHeard(holding, heard)) continue;
        for (const { hlc } of heldOf(holding))
          newest.set(site, maxHlc(newest.get(site) ?? hlc, hlc));
        told += countTold(holding);
        held.sites.delete(site);
        this.#mayChange(held);
      }
      const turn = pace.did(1);
      if (turn !== undefined) await turn;
    }
    return { newest, told };
  }

  /** All held rows in the store. */
  async *#stored(pace: Pace): AsyncGenerator<[Buffer, HeldRow]> {
    if ((this.#log.head.heldBytes ?? 0) === 0) return;
    for await (const entries of this.#reader.iterate(kindRange('h'))) {
      for (const [key, value] of entries) {
        yield [Buffer.from(key), decodeHeldRow(value)];
        const turn = pace.did(1, value.length);
        if (turn !== undefined) await turn;
      }
    }
  }

  /**
   * @param onGained called with the bytes that were added or, if negative, removed for each site
   */
  write(transaction: KVTransaction, onGained: (site: SiteIdText, bytes: number) => void): void {
    for (const held of this.#rows.values()) {
      if (!held?.isChanged) continue;
      const { tableId, identity } = held.address;
      const bytes = encodeHeldRow(held);
      if (bytes !== undefined) transaction.put(heldKey(tableId, identity), bytes);
      else if (held.wasStored) transaction.delete(heldKey(tableId, identity));
    }
    this.recount();
    const ofAll = this.#gainedOfAll;
    for (const [site, bytes] of this.#gained) if (bytes !== 0) onGained(site, bytes);
    const head = this.#log.head;
    if (ofAll !== 0) head.heldBytes = Math.max(0, (head.heldBytes ?? 0) + ofAll);
  }
}

function isHeard(holding: Holding, upTo: HlcText): boolean {
  return [...heldOf(holding)].every(({ at }) => at === undefined || compareHlc(at, upTo) <= 0);
}

function textOf({ tableId, identity }: RowAddress): string {
  return `${tableId} ${identity}`;
}
