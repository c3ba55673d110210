/**
 * Writes to the log within one transaction. What takes effect of a change set is collected in a draft,
 * gets a position, and is appended as a record.
 */

import { type HlcText, maxHlc, OP_SEQ_CHAR, rankAt } from '../../clock/hlc.ts';
import { hlcSite, isOfSameSite, type SiteIdText } from '../../clock/site-id.ts';
import type { KVTransaction } from '../../storage/kv-store.ts';
import { ChangeListJson } from '../records/change-json.ts';
import { EMPTY_HEAD, type Head } from '../records/head.ts';
import { ddlKey, logKey } from '../records/keys.ts';
import { nextPosition } from '../records/position-clock.ts';
import {
  type DraftedRecord,
  encodeDraftedRecord,
  joinAuthors,
  jsonOf,
  type LogRecord,
} from './log-record.ts';
import { RunWriter } from './record-tables.ts';

/** The end of the log: assigns positions, and appends records. */
export class LogWriter {
  readonly records: LogRecord[] = [];
  readonly #transaction: KVTransaction;
  readonly #clock: { now(): number };
  #head: Head = EMPTY_HEAD;

  constructor(transaction: KVTransaction, clock: { now(): number }) {
    this.#transaction = transaction;
    this.#clock = clock;
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
    return nextPosition(this.#head.position, this.#clock.now());
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

/** Collects what takes effect of one change set: its future record, and the newest HLC of each site. */
export class LogDraft {
  readonly position: HlcText;
  readonly changes = new ChangeListJson();
  /** Each as JSON. */
  readonly migrations: string[] = [];
  /** The tables of `changes`. */
  readonly tables = new RunWriter();
  /** The newest HLCs of changes that are logged. */
  readonly logged = new NewestBySite();
  /** The same of changes that are stored now and logged later, which is rare. */
  readonly held = new NewestBySite();

  constructor(position: HlcText) {
    this.position = position;
  }

  get isEmpty(): boolean {
    return this.changes.length + this.migrations.length === 0;
  }

  addMigration(hlc: HlcText, json: string): void {
    this.migrations.push(json);
    this.logged.add(hlc);
  }

  /** The newest HLC of a site, logged or not; `undefined` if there is none. */
  newestOf(site: SiteIdText): HlcText | undefined {
    const logged = this.logged.newestOf(site);
    const held = this.held.newestOf(site);
    return logged === undefined || held === undefined ? (logged ?? held) : maxHlc(logged, held);
  }

  /** The sites of the logged changes, joined with commas. */
  get authors(): string {
    return joinAuthors(this.logged.sites);
  }
}

/** The newest HLC of each site among several HLCs. Most often they all are of one site. */
export class NewestBySite {
  /** The site of the HLC that was added last, and its newest HLC so far. */
  #site: SiteIdText | undefined;
  #newest: HlcText = '';
  /** Its first characters: HLCs of one transaction differ only behind them, in their opSeq. */
  #start = '';
  /** The newest HLCs of the other sites. An entry of `#site` may be out of date. */
  #others: Map<SiteIdText, HlcText> | undefined;

  add(hlc: HlcText): void {
    if (this.#site !== undefined && hlc.startsWith(this.#start)) {
      if (hasGreaterOpSeq(hlc, this.#newest)) this.#newest = hlc;
      return;
    }
    this.#set(this.#newestWith(hlc));
  }

  #set(newest: HlcText): void {
    this.#newest = newest;
    this.#start = newest.slice(0, OP_SEQ_CHAR);
  }

  /** The newest of the HLC's site, which is the present one from then on. */
  #newestWith(hlc: HlcText): HlcText {
    if (this.#site !== undefined) {
      if (isOfSameSite(hlc, this.#newest)) return maxHlc(hlc, this.#newest);
      this.#others ??= new Map();
      this.#others.set(this.#site, this.#newest);
    }
    this.#site = hlcSite(hlc);
    return maxHlc(hlc, this.#others?.get(this.#site) ?? hlc);
  }

  newestOf(site: SiteIdText): HlcText | undefined {
    return site === this.#site ? this.#newest : this.#others?.get(site);
  }

  get sites(): SiteIdText[] {
    if (this.#site === undefined) return [];
    if (this.#others === undefined) return [this.#site];
    return [...new Set(this.#others.keys()).add(this.#site)];
  }
}

/** Of two HLCs that are equal up to there. */
function hasGreaterOpSeq(a: HlcText, b: HlcText): boolean {
  let at = OP_SEQ_CHAR;
  while (at < a.length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  return rankAt(a, at) > rankAt(b, at);
}
