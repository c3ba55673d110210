/** Reads the log of one database for clients: from which cursor on, and what of it is theirs. */

import type { HlcText } from '../clock/hlc.ts';
import type { SiteIdText } from '../clock/site-id.ts';
import type { KVStore } from '../storage/kv-store.ts';
import type { DatabaseState } from './database-state.ts';
import { freshCursor, type LogCursor, toCursor } from './log/cursor.ts';
import type { LogPage, LogReadOptions, TakeChangeSet } from './log/log.ts';
import { readLogPage } from './log/log-page.ts';
import { carryPosition, deliverable, type LogRecord } from './log/log-record.ts';
import { CurrentNames } from './log/record-tables.ts';
import { type Identity, readHorizon } from './records/head.ts';
import type { Catalog } from './tables/catalog.ts';

export interface LogReadsContext {
  store: KVStore;
  identity: Identity;
  state: DatabaseState;
  /** Reads what other processes have written. */
  refresh(): Promise<void>;
  /** Wall time in milliseconds. */
  now(): number;
  maxClockDriftMs: number;
}

export class LogReads {
  readonly #context: LogReadsContext;

  constructor(context: LogReadsContext) {
    this.#context = context;
  }

  /** The cursor of a reader that has everything up to now. */
  get end(): LogCursor {
    const { position, forgets } = this.#context.state.current.head;
    return { position, forgets, isFresh: false };
  }

  /**
   * The cursor for a client that says it has everything up to `sinceHLC`.
   * @throws SyncError SNAPSHOT_REQUIRED
   */
  async cursorFor(sinceHLC: HlcText | undefined): Promise<LogCursor> {
    const { store, identity, state, now, maxClockDriftMs } = this.#context;
    // Another process may have acknowledged changes that this one has not read yet. The client may
    // have had its answer from there, and must not get an older one here.
    await this.#context.refresh();
    const { forgets, position: end } = state.current.head;
    if (sinceHLC === undefined) return freshCursor(identity, forgets);
    // Read after `forgets`: what is forgotten from then on is noticed after each page.
    const horizon = await readHorizon(store);
    return toCursor(sinceHLC, { identity, horizon, forgets, end, nowMs: now(), maxClockDriftMs });
  }

  /**
   * Reads a page.
   * @param take gets its change sets as they are read; they may be used only once this resolves
   * @throws SyncError SNAPSHOT_REQUIRED, if something has been forgotten that the reader may miss
   * @throws LongRecord
   */
  page(options: LogReadOptions, take: TakeChangeSet): Promise<LogPage> {
    const { store, identity, state } = this.#context;
    return readLogPage(store, identity, state.current, options, take);
  }

  /** A record just written, as one reader should get it; `undefined` if that is nothing. */
  deliverable(
    record: LogRecord,
    reader: SiteIdText | undefined,
    catalog: Catalog,
  ): Uint8Array | undefined {
    const names = new CurrentNames(catalog);
    const doNamesHold = names.hold(record.tables, () => record.position);
    return deliverable(record, reader, catalog, doNamesHold);
  }

  /** A change set without changes, as JSON, that carries `position` to a reader. */
  carryPosition(position: HlcText): Uint8Array {
    return carryPosition(this.#context.identity.siteIdText, position);
  }
}
