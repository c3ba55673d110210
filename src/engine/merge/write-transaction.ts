/**
 * One store transaction of the engine: what it has read, what it changes, and the state of the
 * database after it. That state becomes valid only when the store has committed the transaction.
 */

import type { HlcText } from '../../clock/hlc.ts';
import type { SiteIdText } from '../../clock/site-id.ts';
import type { KVTransaction } from '../../storage/kv-store.ts';
import type { LogRecord } from '../log/log-record.ts';
import { LogWriter } from '../log/log-writer.ts';
import { CellCounts } from '../records/cell-counts.ts';
import { decodeHead, EMPTY_HEAD, type Head, writeHead } from '../records/head.ts';
import { HeldFloors } from '../records/held-floors.ts';
import { HeldSet } from '../records/held-set.ts';
import { HEAD_KEY } from '../records/keys.ts';
import type { Pace } from '../records/pace.ts';
import { bytesOf, keysAtOnce, RowSet, readInTurns, SHORT_ROW_BYTES } from '../records/row-set.ts';
import { SiteStates } from '../records/site-state.ts';
import { Catalog } from '../tables/catalog.ts';
import { CatalogDraft } from '../tables/catalog-draft.ts';
import type { CatalogRoom } from '../tables/catalog-memory.ts';
import { type CatalogLimits, refuseGrowth } from '../tables/catalog-size.ts';
import type { TakeRows } from './merge-memory.ts';

/** A state of a database: the end of its log, and the catalog of that moment. Immutable. */
export interface CommittedState {
  readonly head: Readonly<Head>;
  readonly catalog: Catalog;
}

/** The state after a transaction, once that is durable. */
export interface Written extends CommittedState {
  /** The newest position before it. */
  before: HlcText;
  records: readonly LogRecord[];
  /** It was no batch, so nobody else tells sites that have to start over since. */
  isTidying?: boolean;
}

export interface WriteContext {
  /** The coordinator's site id. */
  site: SiteIdText;
  /** The server's wall time, in milliseconds. */
  now(): number;
  pace: Pace;
  /** Called with the bytes of rows that are read. Default: any number may be. */
  takeRows?: TakeRows;
}

/** How large the catalog may be, by itself and beside others. */
export interface CatalogBounds {
  catalogLimits: CatalogLimits;
  catalogRoom: Pick<CatalogRoom, 'grow'>;
}

export class WriteTransaction {
  readonly store: KVTransaction;
  readonly rows: RowSet;
  readonly sites: SiteStates;
  readonly counts = new CellCounts();
  readonly log: LogWriter;
  /** What sites hold of rows, since changes of theirs were refused. */
  readonly held: HeldSet;
  /** What sites may hold beyond that. */
  readonly floors: HeldFloors;
  readonly #context: WriteContext;
  #base: Catalog;
  #version: number;
  /** As of the last known state. */
  readonly #longestRow: number | undefined;
  #draft: CatalogDraft;
  #headBefore: Head = EMPTY_HEAD;

  /** @param known the last known state; a stale catalog is read again */
  constructor(store: KVTransaction, { head, catalog }: CommittedState, context: WriteContext) {
    this.store = store;
    this.#context = context;
    this.rows = new RowSet(store, {
      pace: context.pace,
      atOnce: () => keysAtOnce(this.head.longestRow),
      take: context.takeRows,
    });
    this.sites = new SiteStates(store);
    this.log = new LogWriter(store, context);
    this.held = new HeldSet(store, this.log);
    this.floors = new HeldFloors(store, this.log, this.sites);
    this.#base = catalog;
    this.#version = head.catalogVersion;
    this.#longestRow = head.longestRow;
    this.#draft = new CatalogDraft(catalog, head.nextTable);
  }

  /**
   * Reads the head, and the keys that `plan` returns, in one call. To be called before anything
   * else.
   * @param plan gets the catalog; called again if that turns out to be stale
   * @returns the values of the keys of `plan`
   */
  async begin(
    plan: (catalog: Catalog) => Promise<readonly Uint8Array[]> = async () => [],
  ): Promise<(Uint8Array | undefined)[]> {
    for (;;) {
      const keys = await plan(this.#base);
      const atFirst = keysAtOnce(this.#longestRow);
      const [bytes, ...values] = await this.store.getMany([HEAD_KEY, ...keys.slice(0, atFirst)]);
      const head = decodeHead(bytes, this.#context.site);
      if (head.catalogVersion !== this.#version) {
        this.#base = await Catalog.load(this.store);
        this.#version = head.catalogVersion;
        continue;
      }
      this.#headBefore = { ...head };
      this.#draft = new CatalogDraft(this.#base, head.nextTable);
      this.log.begin(head);
      const take = this.#context.takeRows;
      take?.(bytesOf(values));
      const later = keys.slice(atFirst);
      await readInTurns(this.store, later, values, keysAtOnce(head.longestRow), take);
      return values;
    }
  }

  /** The catalog before the transaction. */
  get base(): Catalog {
    return this.#base;
  }

  /** The catalog after the transaction. */
  get catalog(): CatalogDraft {
    return this.#draft;
  }

  /** The number of the first table that this transaction makes. */
  get firstMade(): number {
    return this.#headBefore.nextTable;
  }

  get head(): Head {
    return this.log.head;
  }

  /** @throws SyncError TOO_LARGE or OVERLOADED when the catalog has become larger than it may be */
  refuseGrowth({ catalogLimits, catalogRoom }: CatalogBounds): void {
    if (!this.#draft.isChanged) return;
    const [before, after] = [this.#base.size, this.#draft.size];
    refuseGrowth(before, after, catalogLimits);
    if (after.heldBytes > before.heldBytes) catalogRoom.grow(after.heldBytes);
  }

  /** Writes all that has changed. Nothing may be changed afterwards. */
  async finish(): Promise<Written> {
    const { store, log, head } = this;
    const onWrite = (tableId: number, cells: number) => this.counts.gained(tableId, cells);
    await this.rows.write(store, onWrite);
    const { longestWritten } = this.rows;
    if (longestWritten > (head.longestRow ?? SHORT_ROW_BYTES)) head.longestRow = longestWritten;
    await this.counts.write(store);
    this.held.write(store, (site, bytes) => this.sites.gainedHeld(site, bytes));
    this.floors.write(store);
    await this.sites.write(store);
    let catalog = this.#base;
    if (this.#draft.isChanged) {
      // After the counts, since it deletes those of tables that it deletes.
      catalog = this.#draft.write(this.#base, store);
      head.catalogVersion++;
      head.nextTable = this.#draft.nextTable;
    }
    if (this.#isHeadChanged()) writeHead(head, store);
    return { before: this.#headBefore.position, head, catalog, records: log.records };
  }

  #isHeadChanged(): boolean {
    const { head } = this;
    for (const name in head) {
      const key = name as keyof Head;
      if (head[key] !== this.#headBefore[key]) return true;
    }
    return false;
  }
}
