/**
 * What the log has gained, as each session is to be pushed it: one message serves all that have no part in
 * it. Each author, and each recipient of a revert, gets a message of its own.
 */

import type { SiteIdText } from '../../clock/site-id.ts';
import type { LogCursor } from '../../engine/log/cursor.ts';
import { deliverable, isAmongAuthors, type LogRecord } from '../../engine/log/log-record.ts';
import { CurrentNames } from '../../engine/log/record-tables.ts';
import type { Appended } from '../../engine/log-announcer.ts';
import type { Reservation } from '../budgets/byte-budget.ts';
import { type Frame, frameBytes, pushFrame } from './frames.ts';

export interface Push {
  /** `undefined` if there is no memory for it now: the session reads it from the log later. */
  message: SharedMessage | undefined;
  changeSets: number;
}

/** The session's memory. */
export interface PushMemory {
  /** Reserves memory for a push if it is free now. */
  tryReserve(bytes: number, isShared: boolean): Reservation | undefined;
}

export class Announcement {
  /** The end of the log in the announcement before. */
  readonly after: Appended['after'];
  /** The end of the log now. */
  readonly end: LogCursor;
  /** Whether sessions can be pushed it at once. Otherwise they read it from the log. */
  readonly isInMemory: boolean;
  readonly #catalog: Appended['catalog'];
  readonly #records: readonly LogRecord[];
  readonly #authors: readonly string[];
  readonly #recipients: readonly SiteIdText[];
  #isMade = false;
  #shared: Push | undefined;
  readonly #holds: (() => void)[] = [];

  constructor(appended: Appended) {
    const { after, end, forgets, catalog, records } = appended;
    this.after = after;
    this.end = { position: end, forgets, isFresh: false };
    this.isInMemory = records !== undefined;
    this.#catalog = catalog;
    this.#records = records ?? [];
    this.#authors = [...new Set(this.#records.map((record) => record.authors))];
    this.#recipients = [...new Set(this.#records.flatMap(({ to }) => to ?? []))];
  }

  /** @returns `undefined` if there is nothing for the site */
  pushFor(site: SiteIdText, memory: PushMemory): Push | undefined {
    if (this.#hasPart(site)) return this.#make(site, memory);
    if (!this.#isMade) this.#shared = this.#make(undefined, memory);
    this.#isMade = true;
    return this.#shared;
  }

  #hasPart(site: SiteIdText): boolean {
    if (this.#recipients.includes(site)) return true;
    return this.#authors.some((joined) => isAmongAuthors(site, joined));
  }

  #make(reader: SiteIdText | undefined, memory: PushMemory): Push | undefined {
    const names = new CurrentNames(this.#catalog);
    const changeSets: Uint8Array[] = [];
    for (const record of this.#records) {
      const doNamesHold = names.hold(record.tables, () => record.position);
      const changeSet = deliverable(record, reader, this.#catalog, doNamesHold);
      if (changeSet !== undefined) changeSets.push(changeSet);
    }
    if (changeSets.length === 0) return undefined;
    const bytes = changeSets.reduce((sum, { length }) => sum + length, 0);
    const room = memory.tryReserve(bytes, reader === undefined);
    const message = room && new SharedMessage(pushFrame(changeSets), () => room.give());
    if (message !== undefined) this.#holds.push(message.share());
    return { message, changeSets: changeSets.length };
  }

  /** All sessions have been pushed it. */
  close(): void {
    for (const end of this.#holds) end();
  }
}

/**
 * A message that several sessions are sent. It takes its memory once, until the last of their clients has
 * taken it.
 */
export class SharedMessage {
  readonly pieces: Frame;
  readonly bytes: number;
  readonly #taken: () => void;
  #users = 0;
  #encoded: Buffer | undefined;

  /** @param free called when nobody needs it any more */
  constructor(pieces: Frame, free: () => void) {
    this.pieces = pieces;
    this.bytes = frameBytes(pieces);
    this.#taken = () => {
      this.#users--;
      if (this.#users === 0) free();
    };
  }

  /** One more needs it. @returns to be called once by each, when it needs it no more */
  share(): () => void {
    this.#users++;
    return this.#taken;
  }

  /** The bytes in which a transport sends it, which are the same for every client. */
  encodedBy(encode: (pieces: Frame) => Buffer): Buffer {
    this.#encoded ??= encode(this.pieces);
    return this.#encoded;
  }
}
