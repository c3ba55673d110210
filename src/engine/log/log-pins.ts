/**
 * Log pins: who still reads the log of a database, and up to where they have. What stands after a
 * pin is left in the log as it is, by whatever process shortens it: as a replication slot pins a
 * write-ahead log.
 *
 *     key    p name
 *     value  {"position": "…", "renewedAtMs": …}     (JSON, UTF-8)
 *
 * A pin that is in the store holds, and only its removal ends that: its owner releases it, or it has
 * lapsed. A pin lapses when its owner has not renewed it for `maxAgeMs`, so that an owner that is
 * gone for good does not keep the log for good. Since it is removed then, an owner that comes back
 * sees that the log may have been shortened meanwhile.
 */

import { compareHlc, type HlcText, hlcWallTimeMs, minHlc } from '../../clock/hlc.ts';
import { hlcSite, type SiteIdText } from '../../clock/site-id.ts';
import type { KVReader, KVStore, KVTransaction } from '../../storage/kv-store.ts';
import { writeExclusively } from '../../storage/store-failure.ts';
import { decodeHead } from '../records/head.ts';
import {
  HEAD_KEY,
  kindRange,
  logKeyToPosition,
  logPinKey,
  logPinKeyToName,
  logRange,
} from '../records/keys.ts';
import { bytesToText } from '../records/row.ts';

/** A pin is written anew when this share of its life has passed. */
const RENEWAL_SHARE = 1 / 4;

export interface LogPinRecord {
  /** What stands after it stays. */
  position: HlcText;
  /** Wall time, by the clock of its owner. */
  renewedAtMs: number;
}

export interface LogPin extends LogPinRecord {
  name: string;
}

/** What became of asking for a pin. */
export interface Pinned {
  /** Where it stands. */
  position: HlcText;
  /** Whether the log has lost nothing after the position that was asked for. */
  isWhole: boolean;
  /** Whether there is more in the log than its owner has read. */
  isBehind: boolean;
}

/** For people. */
export interface LogPinsSummary {
  count: number;
  /** When the one was renewed that has not been for longest. */
  renewedAtMs?: number;
  /** When the oldest change came that one of their owners has yet to read. */
  unreadSinceMs?: number;
}

export interface LogPinsOptions {
  store: KVStore;
  /** Runs work while nothing else writes here. */
  alone<T>(work: () => Promise<T>): Promise<T>;
  /** The coordinator's site id. */
  coordinator: SiteIdText;
  now(): number;
  maxAgeMs: number;
}

/** All of them, in the order of their names. */
export async function readLogPins(reader: KVReader): Promise<LogPin[]> {
  const pins: LogPin[] = [];
  for await (const entries of reader.iterate(kindRange('p'))) {
    for (const [key, value] of entries) {
      pins.push({ name: logPinKeyToName(key), ...decodeLogPin(value) });
    }
  }
  return pins;
}

/** Up to where the log is nobody's but the clients'; `undefined` where nothing is pinned. */
export async function readPinnedAfter(reader: KVReader): Promise<HlcText | undefined> {
  let pinnedAfter: HlcText | undefined;
  for (const { position } of await readLogPins(reader)) {
    pinnedAfter = minHlc(position, pinnedAfter ?? position);
  }
  return pinnedAfter;
}

async function summarize(reader: KVReader): Promise<LogPinsSummary> {
  const pins = await readLogPins(reader);
  const [first] = pins;
  if (first === undefined) return { count: 0 };
  const pinnedAfter = pins.reduce((least, { position }) => minHlc(least, position), first.position);
  const renewedAtMs = Math.min(...pins.map((pin) => pin.renewedAtMs));
  const summary: LogPinsSummary = { count: pins.length, renewedAtMs };
  for await (const [entry] of reader.iterate({ ...logRange(pinnedAfter), limit: 1 })) {
    if (entry === undefined) continue;
    summary.unreadSinceMs = hlcWallTimeMs(logKeyToPosition(entry[0]));
  }
  return summary;
}

function decodeLogPin(bytes: Uint8Array): LogPinRecord {
  return JSON.parse(bytesToText(bytes)) as LogPinRecord;
}

export class LogPins {
  readonly #options: LogPinsOptions;
  #summary: LogPinsSummary = { count: 0 };

  constructor(options: LogPinsOptions) {
    this.#options = options;
  }

  /** As of when the database was tidied up the last time. */
  get summary(): LogPinsSummary {
    return this.#summary;
  }

  /**
   * Pins the log, or moves or renews a pin. It is in the store when this resolves.
   * @param position up to where its owner has read; by default, or if it is none of this log, the
   *   newest
   */
  pin(name: string, position?: HlcText): Promise<Pinned> {
    return this.#write(async (transaction) => {
      const [headBytes, bytes] = await transaction.getMany([HEAD_KEY, logPinKey(name)]);
      const { coordinator } = this.#options;
      const end = decodeHead(headBytes, coordinator).position;
      const known = bytes && decodeLogPin(bytes);
      const isOfLog =
        position !== undefined &&
        hlcSite(position) === coordinator &&
        compareHlc(position, end) <= 0;
      const at = isOfLog ? position : end;
      if (known?.position !== at || this.#isDue(known)) this.#put(transaction, name, at);
      const wasKept =
        isOfLog && (at === end || (known !== undefined && compareHlc(known.position, at) <= 0));
      const isWhole = position === undefined || wasKept;
      return { position: at, isWhole, isBehind: at !== end };
    });
  }

  #isDue({ renewedAtMs }: LogPinRecord): boolean {
    const { now, maxAgeMs } = this.#options;
    // Also where the clock that it was renewed by was ahead.
    return Math.abs(now() - renewedAtMs) >= maxAgeMs * RENEWAL_SHARE;
  }

  #put(transaction: KVTransaction, name: string, position: HlcText): void {
    const record: LogPinRecord = { position, renewedAtMs: this.#options.now() };
    transaction.put(logPinKey(name), Buffer.from(JSON.stringify(record)));
  }

  async release(name: string): Promise<void> {
    await this.#write(async (transaction) => transaction.delete(logPinKey(name)));
  }

  /** Removes those that have lapsed. @returns their names */
  async removeLapsed(): Promise<string[]> {
    const { store } = this.#options;
    let lapsed: string[] = [];
    if ((await readLogPins(store)).some((pin) => this.#hasLapsed(pin))) {
      lapsed = await this.#write(async (transaction) => {
        // Their owners may have renewed some meanwhile.
        const pins = (await readLogPins(transaction)).filter((pin) => this.#hasLapsed(pin));
        for (const { name } of pins) transaction.delete(logPinKey(name));
        return pins.map(({ name }) => name);
      });
    }
    this.#summary = await summarize(store);
    return lapsed;
  }

  #hasLapsed({ renewedAtMs }: LogPinRecord): boolean {
    const { now, maxAgeMs } = this.#options;
    return now() - renewedAtMs > maxAgeMs;
  }

  #write<T>(work: (transaction: KVTransaction) => Promise<T>): Promise<T> {
    const { store, alone } = this.#options;
    return alone(() => writeExclusively(store, work));
  }
}
