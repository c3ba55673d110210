/**
 * Tells listeners that the log has grown, in order and without a gap: each announcement begins
 * where the one before ended. Records written by this process are in memory; those of other
 * processes are read once, for all listeners.
 */

import { compareHlc, type HlcText } from '../clock/hlc.ts';
import { hlcSite } from '../clock/site-id.ts';
import { BoundedLog } from '../logging/bounded-log.ts';
import type { Logger } from '../logging/logger.ts';
import type { KVStore } from '../storage/kv-store.ts';
import { refuseIfForgotten } from './log/cursor.ts';
import { decodeLogRecord, type LogRecord } from './log/log-record.ts';
import type { CommittedState, Written } from './merge/write-transaction.ts';
import { readForgotten } from './records/head.ts';
import { logKeyToPosition, logRange } from './records/keys.ts';
import type { Catalog } from './tables/catalog.ts';

/** The log has grown. */
export interface Appended {
  /** The end of the log in the announcement before. */
  after: HlcText;
  /** The end of the log now. */
  end: HlcText;
  /** `Head.forgets` at `end`. */
  forgets: number;
  /** The catalog at `end`, which names the tables in what is pushed. */
  catalog: Catalog;
  /** All records between `after` and `end`, if they are in memory. */
  records: readonly LogRecord[] | undefined;
  /**
   * Whether sites have to start over since, by another process, by maintenance or by a late change;
   * these may have sessions here.
   */
  haveIdled: boolean;
}

/**
 * Records of other processes are read for all listeners up to this size. Beyond it each session
 * reads for itself.
 */
const READ_BYTES_MAX = 256 * 1024;
/** The same for records of this process, which are in memory: about the length of a page. */
const WRITTEN_BYTES_MAX = 4 * 1024 * 1024;
const WRITTEN_RECORDS_MAX = 20_000;

function isLittle(records: readonly LogRecord[]): boolean {
  if (records.length > WRITTEN_RECORDS_MAX) return false;
  return records.reduce((bytes, { json }) => bytes + json.length, 0) <= WRITTEN_BYTES_MAX;
}

export class LogAnnouncer {
  readonly #store: KVStore;
  readonly #logger: Logger;
  readonly #faults: BoundedLog;
  readonly #listeners = new Set<(appended: Appended) => void>();
  /** The state of the last announcement. */
  #published: CommittedState;
  /** The newest state. */
  #current: CommittedState;
  #reading = false;

  constructor(store: KVStore, state: CommittedState, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
    this.#faults = new BoundedLog({ logger, level: 'error', verb: 'failed' });
    this.#published = state;
    this.#current = state;
  }

  /** @returns stops it */
  onAppended(listener: (appended: Appended) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The log has grown.
   * @param state no older than the one before
   * @param written the records between `after` and the end of `state`, if they are in memory
   */
  grown(
    state: CommittedState,
    written?: Pick<Written, 'records' | 'isTidying'> & { after: HlcText },
  ): void {
    this.#current = state;
    if (this.#reading) return;
    if (this.#isPublished) this.#published = state;
    else if (written?.after === this.#published.head.position) {
      const records = isLittle(written.records) ? written.records : undefined;
      this.#tell(state, records, written.isTidying ? 'maintenance' : 'own');
    } else if (this.#listeners.size === 0) this.#published = state;
    else void this.#readOn();
  }

  get #isPublished(): boolean {
    return compareHlc(this.#current.head.position, this.#published.head.position) <= 0;
  }

  async #readOn(): Promise<void> {
    this.#reading = true;
    while (!this.#isPublished) {
      const state = this.#current;
      const records = await this.#readBetween(this.#published, state).catch((error: unknown) => {
        this.#logger('what other processes wrote could not be read: %O', error);
        return undefined;
      });
      this.#tell(state, records, 'others’');
    }
    this.#reading = false;
  }

  /** @returns `undefined` if there is too much of it: then sessions read for themselves */
  async #readBetween(
    { head: { position: after, forgets } }: CommittedState,
    { head: { position: end } }: CommittedState,
  ): Promise<LogRecord[] | undefined> {
    const records: LogRecord[] = [];
    let bytes = 0;
    for await (const entries of this.#store.iterate(logRange(after, end))) {
      for (const [key, value] of entries) {
        bytes += value.length;
        if (bytes > READ_BYTES_MAX) return undefined;
        records.push(decodeLogRecord(logKeyToPosition(key), value));
      }
    }
    const now = await readForgotten(this.#store, hlcSite(end));
    refuseIfForgotten({ position: after, forgets, isFresh: false }, now);
    return records;
  }

  #tell(
    state: CommittedState,
    records: readonly LogRecord[] | undefined,
    whose: 'own' | 'maintenance' | 'others’',
  ): void {
    const { head, catalog } = state;
    const { position: after, idled, lates } = this.#published.head;
    this.#published = state;
    const { position: end, forgets } = head;
    const haveIdled = head.lates !== lates || (whose !== 'own' && head.idled !== idled);
    const appended = { after, end, forgets, catalog, records, haveIdled };
    for (const listener of this.#listeners) {
      try {
        listener(appended);
      } catch (error) {
        // The commit is durable: a listener that throws must not make it look failed.
        this.#faults.addError('a listener of commits', undefined, error);
      }
    }
  }
}
