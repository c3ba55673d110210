/** Reading the log from a cursor: the one act behind every kind of delivery. */

import { compareHlc, type HlcText, maxHlc } from '../clock/hlc.ts';
import type { SiteIdText } from '../clock/site-id.ts';
import type { KVReader } from '../storage/kv-store.ts';
import { logKeyToPosition, logRange } from './keys.ts';
import { decodeLogRecord, deliverable, type LogRecord } from './log-record.ts';
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

export interface LogPage {
  /** Change sets as JSON, in order. */
  changeSets: Uint8Array[];
  /** The position of the last of them. */
  lastSent: HlcText | undefined;
  /** The cursor for what follows: everything up to here has been looked at. */
  end: HlcText;
  /** Whether there was more than the limits let in. */
  hasMore: boolean;
}

/** What is needed to tell whether a record's table names have been overtaken. */
export interface LogState {
  /** The newest position. */
  end: HlcText;
  timeline: TableTimeline;
  staleUpTo: HlcText | undefined;
}

/** The timeline, if this record has to be seen through it. */
export function timelineFor(record: LogRecord, state: LogState): TableTimeline | undefined {
  const { timeline, staleUpTo } = state;
  if (timeline.isEmpty) return undefined;
  if (record.stale) return timeline;
  if (staleUpTo === undefined || compareHlc(record.position, staleUpTo) > 0) return undefined;
  const { buffer, byteOffset, byteLength } = record.json;
  const json = Buffer.from(buffer, byteOffset, byteLength);
  return timeline.endedNamesJson.some((name) => json.includes(name)) ? timeline : undefined;
}

export async function readLog(
  store: KVReader,
  state: LogState,
  options: LogReadOptions,
): Promise<LogPage> {
  const { after, reader, bytesMax, changesMax = Number.POSITIVE_INFINITY } = options;
  const changeSets: Uint8Array[] = [];
  let lastSent: HlcText | undefined;
  let end = after;
  let bytes = 0;
  let changes = 0;
  for await (const entries of store.iterate(logRange(after))) {
    for (const [key, value] of entries) {
      const record = decodeLogRecord(logKeyToPosition(key), value);
      const json = deliverable(record, reader, timelineFor(record, state));
      if (json !== undefined) {
        const full = bytes + json.length > bytesMax || changes + record.changeCount > changesMax;
        if (full && changeSets.length > 0) return { changeSets, lastSent, end, hasMore: true };
        bytes += json.length;
        changes += record.changeCount;
        changeSets.push(json);
        lastSent = record.position;
      }
      end = record.position;
    }
  }
  return { changeSets, lastSent, end: maxHlc(end, state.end), hasMore: false };
}
