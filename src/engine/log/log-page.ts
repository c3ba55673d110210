/** Reads a page of the log, with what a reader needs to ask for the next one. */

import { compareHlc } from '../../clock/hlc.ts';
import type { KVStore } from '../../storage/kv-store.ts';
import { type Head, type Identity, readForgotten } from '../records/head.ts';
import { markPageEnd } from '../records/position-marks.ts';
import type { Catalog } from '../tables/catalog.ts';
import { aliasesOf } from '../tables/table-aliases.ts';
import { refuseIfForgotten } from './cursor.ts';
import { type LogPage, type LogReadOptions, readLog, type TakeChangeSet } from './log.ts';
import { carryPosition } from './log-record.ts';

/**
 * @param state the head up to which it is read, and its catalog
 * @param take gets its change sets as they are read; they may be used only once this resolves
 * @throws SyncError SNAPSHOT_REQUIRED, if something has been forgotten that the reader may miss
 * @throws LongRecord
 */
export async function readLogPage(
  store: KVStore,
  { siteIdText }: Identity,
  { head, catalog }: { head: Head; catalog: Catalog },
  options: LogReadOptions,
  take: TakeChangeSet,
): Promise<LogPage> {
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
