/** The end of the log within one transaction: assigns positions, and appends records. */

import type { HlcText } from '../../clock/hlc.ts';
import type { KVTransaction } from '../../storage/kv-store.ts';
import { EMPTY_HEAD, type Head } from '../records/head.ts';
import { ddlKey, logKey } from '../records/keys.ts';
import { nextPosition } from '../records/position-clock.ts';
import { type DraftedRecord, encodeDraftedRecord, jsonOf, type LogRecord } from './log-record.ts';

export class LogWriter {
  readonly records: LogRecord[] = [];
  readonly #transaction: KVTransaction;
  readonly #now: () => number;
  #head: Head = EMPTY_HEAD;

  constructor(transaction: KVTransaction, now: () => number) {
    this.#transaction = transaction;
    this.#now = now;
  }

  /** Only the transaction changes it. */
  get head(): Head {
    return this.#head;
  }

  /** Starts from a head that was read in this transaction. The writer owns it from now on. */
  begin(head: Head): void {
    this.#head = head;
  }

  /** The position that the next record would get; calling this does not take it. */
  nextPosition(): HlcText {
    return nextPosition(this.#head.position, this.#now());
  }

  /** @returns the size of the record in bytes */
  append(draft: DraftedRecord): number {
    const { position, authors, tables, to, changes, migrations } = draft;
    const changeCount = changes.length + migrations.length;
    const bytes = encodeDraftedRecord(draft);
    this.#transaction.put(logKey(position), bytes);
    if (migrations.length > 0) this.#transaction.put(ddlKey(position), new Uint8Array());
    this.records.push({ position, authors, tables, to, changeCount, json: jsonOf(bytes) });
    const head = this.#head;
    head.position = position;
    head.logLength++;
    head.changesLogged += changeCount;
    return bytes.length;
  }

  /** Counts changes in the log that later ones have replaced. */
  noteReplaced(changes: number): void {
    this.#head.changesReplaced += changes;
  }

  /** A drop or rename took effect: a snapshot begun before it can't be continued. */
  noteEnded(position: HlcText): void {
    this.#head.endedAt = position;
  }
}
