/**
 * Log pins: named readers of a database's log, each with the position up to which it has read. No
 * process compacts the log after a pin, as a replication slot pins a write-ahead log.
 *
 *     key    p name
 *     value  {"position": "…", "renewedAtMs": …}     (JSON, UTF-8)
 *
 * A pin holds until it is removed from the store: its owner releases it, or maintenance removes it
 * because it has lapsed. A pin lapses when its owner has not renewed it for `maxAgeMs`, so that an
 * owner that is gone does not keep the log for ever. An owner that comes back finds its pin
 * missing, and so knows that the log may have been compacted meanwhile.
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
  /** The log after it is kept. */
  position: HlcText;
  /** Wall time by the clock of its owner's process. */
  renewedAtMs: number;
}

export interface LogPin extends LogPinRecord {
  name: string;
}

/** The result of `pin`. */
export interface Pinned {
  /** The position of the pin. */
  position: HlcText;
  /** Whether the log after the requested position is complete. */
  isWhole: boolean;
  /** Whether there is more in the log than its owner has read. */
  isBehind: boolean;
}

/** For health output and metrics. */
export interface LogPinsSummary {
  count: number;
  /** The oldest time of renewal of any pin. */
  renewedAtMs?: number;
  /** When the oldest change arrived that a pin's owner has not read. */
  unreadSinceMs?: number;
}

export interface LogPinsOptions {
  store: KVStore;
  /** Runs work while nothing else in this process writes. */
  alone<T>(work: () => Promise<T>): Promise<T>;
  /** The coordinator's site id. */
  coordinator: SiteIdText;
  now(): number;
  maxAgeMs: number;
}

/** All pins, in the order of their names. */
export async function readLogPins(reader: KVReader): Promise<LogPin[]> {
  const pins: LogPin[] = [];
  for await (const entries of reader.iterate(kindRange('p'))) {
    for (const [key, value] of entries) {
      pins.push({ name: logPinKeyToName(key), ...decodeLogPin(value) });
    }
  }
  return pins;
}

/**
 * The position of the oldest pin: the log up to it may be compacted. `undefined` if there is no
 * pin.
 */
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

  /** As of the last maintenance of the database. */
  get summary(): LogPinsSummary {
    return this.#summary;
  }

  /**
   * Pins the log, or moves or renews a pin. It is in the store when this resolves.
   * @param position up to where its owner has read. Default: the newest one, also used if
   *   `position` is not of this log
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
    // `abs`: another process, whose clock is ahead, may have renewed it last.
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
