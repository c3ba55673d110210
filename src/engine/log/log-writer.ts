/** The end of the log within one transaction: gives positions, and takes what stands at them. */

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

  /** To be changed by the transaction only. */
  get head(): Head {
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

  /** @returns how large it is, in bytes */
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

  /** So many changes in the log are of no use any more. */
  noteReplaced(changes: number): void {
    this.#head.changesReplaced += changes;
  }

  /** A drop or rename took effect: a snapshot from before it is not to be gone on with. */
  noteEnded(position: HlcText): void {
    this.#head.endedAt = position;
  }
}
