/**
 * Tells when the log has grown, in order and without a gap: each time from where it ended the last
 * time. What was written here is at hand. What others wrote is read once, for all who listen.
 */

import { compareHlc, type HlcText, maxHlc } from '../clock/hlc.ts';
import type { Logger } from '../logger.ts';
import type { KVStore } from '../storage/kv-store.ts';
import { logKeyToPosition, logRange } from './keys.ts';
import { decodeLogRecord, type LogRecord } from './log-record.ts';

/** The log has grown. */
export interface Appended {
  /** Where it ended when this was told the last time. */
  after: HlcText;
  /** Where it ends now. */
  end: HlcText;
  /** All that lies between, if it is at hand: a reader at `after` needs nothing else. */
  records: readonly LogRecord[] | undefined;
}

/** Beyond it everybody reads at a pace of their own. */
const READ_BYTES_MAX = 256 * 1024;

export class LogAnnouncer {
  readonly #store: KVStore;
  readonly #logger: Logger;
  readonly #listeners = new Set<(appended: Appended) => void>();
  #told: HlcText;
  #end: HlcText;
  #reading = false;

  constructor(store: KVStore, end: HlcText, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
    this.#told = end;
    this.#end = end;
  }

  /** @returns stops it */
  onAppended(listener: (appended: Appended) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * @param written what lies between `after` and `end`, where it is at hand
   */
  grown(end: HlcText, written?: { after: HlcText; records: readonly LogRecord[] }): void {
    this.#end = maxHlc(this.#end, end);
    if (this.#reading || compareHlc(this.#end, this.#told) <= 0) return;
    if (written?.after === this.#told) this.#tell(end, written.records);
    else if (this.#listeners.size === 0) this.#told = this.#end;
    else void this.#readOn();
  }

  async #readOn(): Promise<void> {
    this.#reading = true;
    while (compareHlc(this.#told, this.#end) < 0) {
      const end = this.#end;
      const records = await readBetween(this.#store, this.#told, end).catch((error: unknown) => {
        this.#logger('what others wrote could not be read for all: %O', error);
        return undefined;
      });
      this.#tell(end, records);
    }
    this.#reading = false;
  }

  #tell(end: HlcText, records: readonly LogRecord[] | undefined): void {
    const appended = { after: this.#told, end, records };
    this.#told = end;
    for (const listener of this.#listeners) {
      try {
        listener(appended);
      } catch (error) {
        // What is durable must not look as if it had failed, because somebody failed to hear of it.
        this.#logger.error('a listener failed: %O', error);
      }
    }
  }
}

/** @returns nothing when that is a lot */
async function readBetween(
  store: KVStore,
  after: HlcText,
  end: HlcText,
): Promise<LogRecord[] | undefined> {
  const records: LogRecord[] = [];
  let bytes = 0;
  for await (const entries of store.iterate(logRange(after))) {
    for (const [key, value] of entries) {
      const position = logKeyToPosition(key);
      if (compareHlc(position, end) > 0) return records;
      bytes += value.length;
      if (bytes > READ_BYTES_MAX) return undefined;
      records.push(decodeLogRecord(position, value));
    }
  }
  return records;
}
