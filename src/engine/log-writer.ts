/** The end of the log within one transaction: gives positions, and takes what stands at them. */

import type { HlcText } from '../clock/hlc.ts';
import type { KVTransaction } from '../storage/kv-store.ts';
import { EMPTY_HEAD, type Head, writeHead } from './head.ts';
import { logKey } from './keys.ts';
import { type DraftedRecord, encodeDraftedRecord, jsonOf, type LogRecord } from './log-record.ts';
import { nextPosition } from './position-clock.ts';

export class LogWriter {
  readonly records: LogRecord[] = [];
  readonly #transaction: KVTransaction;
  readonly #now: () => number;
  #head: Head = EMPTY_HEAD;

  constructor(transaction: KVTransaction, now: () => number) {
    this.#transaction = transaction;
    this.#now = now;
  }

  get head(): Readonly<Head> {
    return this.#head;
  }

  /** Goes on from a head that was read in this transaction, which is the writer's from now on. */
  begin(head: Head): void {
    this.#head = head;
  }

  /** The position that the next entry may take; not taken yet. */
  nextPosition(): HlcText {
    return nextPosition(this.#head.position, this.#now());
  }

  append(draft: DraftedRecord): void {
    const { position, author, stale, changes, migrations } = draft;
    const changeCount = changes.length + migrations.length;
    const bytes = encodeDraftedRecord(draft);
    this.#transaction.put(logKey(position), bytes);
    this.records.push({ position, author, stale, changeCount, json: jsonOf(bytes) });
    const head = this.#head;
    head.position = position;
    head.logLength++;
    if (head.changesLogged !== undefined) head.changesLogged += changeCount;
  }

  /** So many changes in the log are of no use any more. */
  noteReplaced(changes: number): void {
    if (this.#head.changesReplaced !== undefined) this.#head.changesReplaced += changes;
  }

  /** A table ended or was renamed: what the log holds up to here may name it still. */
  noteStale(position: HlcText): void {
    this.#head.staleUpTo = position;
  }

  /** @param catalogChanged whether the catalog has changed beyond statistics */
  finish(catalogChanged: boolean): void {
    if (catalogChanged) this.#head.catalogVersion++;
    writeHead(this.#head, this.#transaction);
  }
}
