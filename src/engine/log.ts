/** Reading the log from a cursor: the one act behind every kind of delivery. */

import { compareHlc, type HlcText, maxHlc } from '../clock/hlc.ts';
import type { SiteIdText } from '../clock/site-id.ts';
import type { KVReader } from '../storage/kv-store.ts';
import { logKeyToPosition, logRange } from './keys.ts';
import { decodeStoredRecord, deliverable, type StoredRecord } from './log-record.ts';
import type { TableTimeline } from './table-timeline.ts';

export interface LogReadOptions {
  /** The cursor: what comes after it is read. */
  after: HlcText;
  /** Whose own changes are left out. */
  reader?: SiteIdText | undefined;
  /** About so many bytes of JSON; one transaction may exceed it, since it isn't cut. */
  bytesMax: number;
  /** About so many changes and migrations; as above. */
  changesMax?: number;
}

/** How far a page of the log goes. */
export interface LogPage {
  /** The position of the last change set in it. */
  lastSent: HlcText | undefined;
  /** The cursor for what follows: everything up to here has been looked at. */
  end: HlcText;
  /** Whether there was more than the limits let in. */
  hasMore: boolean;
}

/** Of JSON, keys and first lines included; and what ends a page has to be read as well. */
const STORED_BYTES_A_BYTE = 1.05;

/** What is needed to tell whether a record's table names have been overtaken. */
export interface LogState {
  /** The newest position. */
  end: HlcText;
  timeline: TableTimeline;
  staleUpTo: HlcText | undefined;
}

/**
 * The timeline, if this record has to be seen through it.
 * @param position worked out only where it matters
 */
export function timelineFor(
  record: StoredRecord,
  position: () => HlcText,
  state: LogState,
): TableTimeline | undefined {
  const { timeline, staleUpTo } = state;
  if (timeline.isEmpty) return undefined;
  if (record.stale) return timeline;
  if (staleUpTo === undefined || compareHlc(position(), staleUpTo) > 0) return undefined;
  const { buffer, byteOffset, byteLength } = record.json;
  const json = Buffer.from(buffer, byteOffset, byteLength);
  return timeline.endedNamesJson.some((name) => json.includes(name)) ? timeline : undefined;
}

/** Takes a change set, as JSON. What is copied at once is soon out of memory. */
export type TakeChangeSet = (json: Uint8Array) => void;

/** @param take gets the change sets of the page, in order */
export async function readLog(
  store: KVReader,
  state: LogState,
  options: LogReadOptions,
  take: TakeChangeSet,
): Promise<LogPage> {
  const { after, reader, bytesMax, changesMax = Number.POSITIVE_INFINITY } = options;
  let lastSentKey: Uint8Array | undefined;
  let endKey: Uint8Array | undefined;
  let bytes = 0;
  let changes = 0;
  const page = (hasMore: boolean): LogPage => {
    const lastSent = lastSentKey === undefined ? undefined : logKeyToPosition(lastSentKey);
    const readTo = endKey === undefined ? after : logKeyToPosition(endKey);
    return { lastSent, end: hasMore ? readTo : maxHlc(readTo, state.end), hasMore };
  };
  const range = { ...logRange(after), bytes: bytesMax * STORED_BYTES_A_BYTE };
  for await (const entries of store.iterate(range)) {
    for (const [key, value] of entries) {
      const record = decodeStoredRecord(value);
      const timeline = timelineFor(record, () => logKeyToPosition(key), state);
      const json = deliverable(record, reader, timeline);
      if (json !== undefined) {
        const full = bytes + json.length > bytesMax || changes + record.changeCount > changesMax;
        if (full && lastSentKey !== undefined) return page(true);
        bytes += json.length;
        changes += record.changeCount;
        take(json);
        lastSentKey = key;
      }
      endKey = key;
    }
  }
  return page(false);
}
