/**
 * Tells when the log has grown, in order and without a gap: each time from where it ended the last
 * time. What was written here is at hand. What others wrote is read once, for all who listen.
 */

import { compareHlc, type HlcText } from '../clock/hlc.ts';
import { hlcSite } from '../clock/site-id.ts';
import { BoundedLog } from '../logging/bounded-log.ts';
import type { Logger } from '../logging/logger.ts';
import type { KVStore } from '../storage/kv-store.ts';
import { refuseIfForgotten } from './log/cursor.ts';
import { decodeLogRecord, type LogRecord } from './log/log-record.ts';
import type { CommittedState } from './merge/write-transaction.ts';
import { readForgotten } from './records/head.ts';
import { logKeyToPosition, logRange } from './records/keys.ts';
import type { Catalog } from './tables/catalog.ts';

/** The log has grown. */
export interface Appended {
  /** Where it ended when this was told the last time. */
  after: HlcText;
  /** Where it ends now. */
  end: HlcText;
  /** `Head.forgets` as of then. */
  forgets: number;
  /** Of that moment: the names in what is pushed are its. */
  catalog: Catalog;
  /** All that lies between, if it is at hand: a reader at `after` needs nothing else. */
  records: readonly LogRecord[] | undefined;
  /** Whether others have told sites to start over meanwhile, which may be served here. */
  haveOthersIdled: boolean;
}

/** Beyond it everybody reads at a pace of their own. */
const READ_BYTES_MAX = 256 * 1024;
/** The same for what was written here, and is at hand: a page of it would be as long. */
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
  /** What was told the last time. */
  #published: CommittedState;
  /** What is to be told. */
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
   * @param state no older than the one before
   * @param written what lies between `after` and its end, where it is at hand
   */
  grown(state: CommittedState, written?: { after: HlcText; records: readonly LogRecord[] }): void {
    this.#current = state;
    if (this.#reading) return;
    if (this.#isPublished) this.#published = state;
    else if (written?.after === this.#published.head.position) {
      this.#tell(state, isLittle(written.records) ? written.records : undefined, 'own');
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
        this.#logger('what others wrote could not be read for all: %O', error);
        return undefined;
      });
      this.#tell(state, records, 'others’');
    }
    this.#reading = false;
  }

  /** @returns nothing when that is a lot, or not all of it any more: then sessions read for themselves */
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
    whose: 'own' | 'others’',
  ): void {
    const { head, catalog } = state;
    const { position: after, idled } = this.#published.head;
    this.#published = state;
    const { position: end, forgets } = head;
    const haveOthersIdled = whose !== 'own' && head.idled !== idled;
    const appended = { after, end, forgets, catalog, records, haveOthersIdled };
    for (const listener of this.#listeners) {
      try {
        listener(appended);
      } catch (error) {
        // What is durable must not look as if it had failed, because somebody failed to hear of it.
        this.#faults.addError('a listener of commits', undefined, error);
      }
    }
  }
}
