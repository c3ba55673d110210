/** Reads the log of one database for clients: from which cursor on, and what of it is theirs. */

import { compareHlc, type HlcText, hlcWallTimeMs } from '../clock/hlc.ts';
import type { KVStore } from '../storage/kv-store.ts';
import type { DatabaseState } from './database-state.ts';
import { freshCursor, type LogCursor, refuseIfForgotten, toCursor } from './log/cursor.ts';
import { type LogPage, type LogReadOptions, readLog, type TakeChangeSet } from './log/log.ts';
import { carryPosition } from './log/log-record.ts';
import { type Identity, readForgotten, readHorizon } from './records/head.ts';
import { markPageEnd } from './records/position-marks.ts';
import { aliasesOf } from './tables/table-aliases.ts';

export interface LogReadsContext {
  store: KVStore;
  identity: Identity;
  state: DatabaseState;
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
    await state.refresh();
    const { forgets, position: end } = state.current.head;
    if (sinceHLC === undefined) return freshCursor(identity, forgets);
    // Read after `forgets`: what is forgotten from then on is noticed after each page.
    const horizon = await readHorizon(store);
    return toCursor(sinceHLC, { identity, horizon, forgets, end, nowMs: now(), maxClockDriftMs });
  }

  /**
   * Reads a page, with what a reader needs to ask for the next one.
   * @param take gets its change sets as they are read; they may be used only once this resolves
   * @throws SyncError SNAPSHOT_REQUIRED, if something has been forgotten that the reader may miss
   * @throws LongRecord
   */
  async page(options: LogReadOptions, take: TakeChangeSet): Promise<LogPage> {
    const { store, identity, state } = this.#context;
    const { siteIdText } = identity;
    const { head, catalog } = state.current;
    const { after } = options;
    const page = await readLog(store, { end: head.position, catalog }, options, take);
    const now = await readForgotten(store, siteIdText);
    refuseIfForgotten(after, now);
    const { hasMore, ddlAhead, lastSent, authors } = page;
    const end = { position: page.end, forgets: after.forgets, isFresh: false };
    const aliases = aliasesOf(catalog);
    if (!hasMore) return { lastSent, end, hasMore, watermark: page.end, aliases, authors };
    const watermark = markPageEnd(page.end, after.forgets);
    // Some clients take the HLC of the last change set for the watermark: give them one that they can
    // come back with.
    const isBehindHorizon = compareHlc(page.end, now.horizon) < 0;
    if (ddlAhead.length === 0 && !isBehindHorizon) {
      return { lastSent, end, hasMore, watermark, aliases, authors };
    }
    take(carryPosition(siteIdText, watermark, ddlAhead));
    return { lastSent: watermark, end, hasMore, watermark, aliases, authors };
  }

  /**
   * A change set without changes, as JSON, that says how far the log has been read; `undefined` unless
   * the reader would otherwise read the same stretch of its own changes again.
   */
  carryOf({ lastSent, end: { position } }: LogPage, after: HlcText): Uint8Array | undefined {
    const isNeeded = compareHlc(position, lastSent ?? after) > 0 && hlcWallTimeMs(position) > 0;
    return isNeeded ? carryPosition(this.#context.identity.siteIdText, position) : undefined;
  }
}
