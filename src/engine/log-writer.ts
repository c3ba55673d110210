/** The end of the log within one transaction: gives positions, and takes what stands at them. */

import type { HlcText } from '../clock/hlc.ts';
import type { SiteIdText } from '../clock/site-id.ts';
import type { KVTransaction } from '../storage/kv-store.ts';
import { EMPTY_HEAD, type Head, type Identity, writeHead } from './head.ts';
import { logKey } from './keys.ts';
import { authorOf, changeSetJson, encodeLogRecord, type LogRecord } from './log-record.ts';
import { nextPosition } from './position-clock.ts';

export interface LogEntry {
  position: HlcText;
  siteId: SiteIdText;
  transactionId: string;
  /** Of every change and migration. */
  hlcs: readonly HlcText[];
  /** JSON, an array. */
  changes: string;
  /** JSON of each. */
  migrations: readonly string[];
  /** Whether some change was written for a table that has another name by now. */
  stale: boolean;
}

export class LogWriter {
  readonly records: LogRecord[] = [];
  readonly #transaction: KVTransaction;
  readonly #identity: Identity;
  readonly #now: () => number;
  #head: Head = EMPTY_HEAD;

  constructor(transaction: KVTransaction, identity: Identity, now: () => number) {
    this.#transaction = transaction;
    this.#identity = identity;
    this.#now = now;
  }

  get head(): Head {
    return this.#head;
  }

  /** Goes on from a head that was read in this transaction. */
  begin(head: Head): void {
    this.#head = head;
  }

  /** The position that the next entry may take; not taken yet. */
  nextPosition(): HlcText {
    return nextPosition(this.#head.position, this.#now(), this.#identity.siteId);
  }

  append(entry: LogEntry): void {
    const { position, hlcs, stale } = entry;
    const author = authorOf(hlcs);
    const bytes = encodeLogRecord({
      ...{ position, author, stale, changeCount: hlcs.length },
      json: changeSetJson(entry),
    });
    this.#transaction.put(logKey(position), bytes);
    const json = bytes.subarray(bytes.indexOf(10) + 1);
    this.records.push({ position, author, stale, changeCount: hlcs.length, json });
    const { logLength, changesLogged } = this.#head;
    this.#head = { ...this.#head, position, logLength: logLength + 1 };
    if (changesLogged !== undefined) this.#head.changesLogged = changesLogged + hlcs.length;
  }

  /** So many changes in the log are of no use any more. */
  noteReplaced(changes: number): void {
    const { changesReplaced } = this.#head;
    if (changes === 0 || changesReplaced === undefined) return;
    this.#head = { ...this.#head, changesReplaced: changesReplaced + changes };
  }

  /** A table ended or was renamed: what the log holds up to here may name it still. */
  noteStale(position: HlcText): void {
    this.#head = { ...this.#head, staleUpTo: position };
  }

  /** @param catalogChanged whether the catalog has changed beyond statistics */
  finish(catalogChanged: boolean): void {
    const catalogVersion = this.#head.catalogVersion + (catalogChanged ? 1 : 0);
    this.#head = { ...this.#head, catalogVersion };
    writeHead(this.#head, this.#transaction);
  }
}
