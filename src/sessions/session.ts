/**
 * One client on one socket: a cursor in the log of its database, and a lane in which its answers are sent
 * one after the other.
 *
 * While the client keeps up, each commit moves the cursor and costs one send. While an answer is being sent,
 * or the socket is behind, the cursor stays, and pushes are read from the log later, at the pace of the
 * socket. So no push is missed, and a socket never has more than `queuedBytesPerSocket` of pushes waiting.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { compareHlc } from '../clock/hlc.ts';
import type { SiteIdText } from '../clock/site-id.ts';
import type { LogCursor } from '../engine/log/cursor.ts';
import type { RowsMemory } from '../engine/records/row-reader.ts';
import { toSyncError } from '../errors/sync-error.ts';
import type { HookAnswer } from '../hooks/refusal.ts';
import type { CallOrigin, ClientIdentity } from '../hooks/types.ts';
import { WS_CLOSE } from '../protocol/close-codes.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import type { ClientSoftware } from '../protocol/schemas.ts';
import type { DatabaseAccess, OpenDatabase } from '../service/access/open-database.ts';
import { isDenial, type ReadRight } from '../service/access/rights.ts';
import type { Announcement } from '../service/delivery/announcement.ts';
import type { LiveSession } from '../service/delivery/live-session.ts';
import type { ServedSnapshot } from '../service/delivery/served-snapshots.ts';
import { type AnsweredSession, AnswerSender } from './answer-sender.ts';
import type { SessionHost, SessionOptions } from './session-host.ts';

/** With one of these codes and `retryAfterMs`, the cause will pass and reading is tried again. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'STORE_UNAVAILABLE',
  'RATE_LIMITED',
  'OVERLOADED',
]);
/** The longest page of a push that is read from the log: a slow socket holds little. */
const PUSH_PAGE_BYTES_MAX = 256 * 1024;
const NO_ANSWER = Promise.resolve();

export class Session implements LiveSession, AnsweredSession {
  readonly connectionId: string;
  readonly siteId: SiteIdText;
  readonly connectedAt = Date.now();
  readonly software: ClientSoftware | undefined;
  /** The identity at the handshake; newer credentials make a newer one. */
  readonly joinedAs: ClientIdentity;
  identity: ClientIdentity;
  /** The right to be pushed what others write. */
  readonly right: ReadRight;
  readonly #options: SessionOptions;
  #cursor: LogCursor;
  #lane: Promise<unknown> = NO_ANSWER;
  /** Answers that are being sent or wait for their turn; pushes wait for them. */
  #answers = 0;
  /** The client's requests that are not answered yet. */
  readonly #inFlight: SessionHost['inFlight'];
  /** The request that is being answered. */
  #answered: CallOrigin | undefined;
  #feeding = false;
  /** What hooks answered when they were last asked for the right to read. */
  #answersHeard: HookAnswer[] | undefined;
  #ended = false;

  constructor(options: SessionOptions) {
    this.connectionId = options.connectionId;
    this.siteId = options.siteId;
    this.software = options.software;
    this.joinedAs = options.identity;
    this.identity = options.identity;
    this.right = options.right;
    this.#options = options;
    this.#inFlight = options.host.inFlight;
    this.#cursor = options.database.manager.log.end;
  }

  get database(): OpenDatabase & DatabaseAccess {
    return this.#options.database;
  }

  end(): void {
    this.#ended = true;
  }

  /** Closes the socket with 1013: the client may come back. */
  disconnect(reason = 'try again'): void {
    this.#options.sendQueue.close(WS_CLOSE.tryAgain, reason);
  }

  /** Tells the client to start over, and closes the socket; it will be told the same when it comes back. */
  startOver(message: string): void {
    const code = 'SNAPSHOT_REQUIRED';
    this.#options.sendQueue.send(JSON.stringify({ type: 'error', code, message, fatal: false }));
    this.end();
    this.disconnect(code);
  }

  get isOpen(): boolean {
    return !this.#ended && this.#options.sendQueue.isOpen;
  }

  push(announcement: Announcement): number {
    const { sendQueue, limits, host } = this.#options;
    const inStep =
      !this.#feeding &&
      this.#answers === 0 &&
      this.#cursor.position === announcement.after &&
      this.isOpen &&
      this.right.state === 'granted';
    const hasRoom = sendQueue.queuedBytes <= limits.queuedBytesPerSocket / 2;
    if (inStep && !hasRoom) host.fellBehind();
    if (!inStep || !hasRoom || !announcement.isInMemory) {
      this.#feed();
      return 0;
    }
    const push = announcement.pushFor(this.siteId, host);
    // With a filter, and where there is no room in memory, the push is read from the log.
    if (push !== undefined && (push.message === undefined || this.right.isFiltered)) {
      this.#feed();
      return 0;
    }
    this.#cursor = announcement.end;
    if (push?.message === undefined) return 0;
    const { message, changeSets } = push;
    // Together with the answer that the client is about to get: one call of the system for both.
    if (this.#inFlight.size > 0) sendQueue.send(message.pieces, message.share());
    else sendQueue.sendShared(message);
    return changeSets;
  }

  /** Brings the socket up to the end of the log, at the pace of the socket. */
  #feed(): void {
    if (this.#feeding || this.#answers > 0 || !this.isOpen) return;
    this.#feeding = true;
    this.#feedLoop()
      .catch((error: unknown) => this.#feedFailed(error))
      .finally(() => {
        this.#feeding = false;
        if (this.#isBehind) this.#feed();
      });
  }

  moveTo(cursor: LogCursor): void {
    if (compareHlc(cursor.position, this.#cursor.position) > 0) this.#cursor = cursor;
  }

  /** If the cause will pass, the session waits: the socket and its cursor stay. */
  async #feedFailed(error: unknown): Promise<void> {
    // A session that was ended meanwhile has told its client why.
    if (!this.isOpen) return;
    const { code, message, retryAfterMs } = toSyncError(error);
    if (isDenial(error)) this.#options.host.readDenied(error, this.#answersHeard ?? []);
    else if (code === 'SNAPSHOT_REQUIRED') this.startOver(message);
    else if (PASSING.has(code) && retryAfterMs !== undefined) {
      await sleep(retryAfterMs, undefined, { ref: false });
    } else this.#options.host.failed(error);
  }

  get #isBehind(): boolean {
    const { position } = this.#options.database.manager;
    if (!this.isOpen || this.#answers > 0) return false;
    return compareHlc(this.#cursor.position, position) < 0 && this.right.state !== 'denied';
  }

  /** Asks for the right to read again, and goes on with pushes or ends them. */
  async reconsider(): Promise<void> {
    try {
      if (this.isOpen) await this.#confirmRight();
    } catch (error) {
      await this.#feedFailed(error);
    }
    if (this.#isBehind) this.#feed();
  }

  /** The host decides whether a refusal is logged: a client that never had the right loses nothing. */
  #confirmRight(): Promise<void> {
    this.#answersHeard = [];
    return this.right.confirm(undefined, undefined, this.#answersHeard);
  }

  async #feedLoop(): Promise<void> {
    const reader = this.#options.database.manager.readers.add(this.#cursor.position);
    try {
      while (this.#isBehind) {
        if (!(await this.#feedPage())) return;
        reader.moveTo(this.#cursor.position);
      }
    } finally {
      reader.release();
    }
  }

  /** @returns whether to go on */
  async #feedPage(): Promise<boolean> {
    const { pages, sendQueue, limits, host } = this.#options;
    const { reads } = host;
    const bytesMax = Math.min(PUSH_PAGE_BYTES_MAX, limits.pageBytes);
    await sendQueue.drained(limits.queuedBytesPerSocket / 2);
    await this.#confirmRight();
    const after = this.#cursor;
    const { stamp } = this.right;
    const filter = host.pushFilterOf(this.identity);
    const isShared = filter === undefined || filter.key !== undefined;
    const reserve = (bytes: number) => host.reserve(bytes, isShared);
    const page = await pages.read({ after, reader: this.siteId, bytesMax, filter, reads, reserve });
    const { frame, changeSets, end, release } = page;
    // An answer that began meanwhile moves the cursor itself.
    const isIts = this.isOpen && this.#answers === 0 && this.#cursor === after;
    // While the page was read the right may have become outdated, or the identity may have changed.
    if (!isIts || !this.right.isFor(stamp)) {
      release();
      return isIts;
    }
    this.#cursor = end;
    if (frame === undefined) {
      release();
      return true;
    }
    sendQueue.send(frame, release);
    host.pushed(changeSets);
    return true;
  }

  /**
   * Runs an answer in its turn, while pushes wait.
   * @param work tells the client of its own errors
   * @param origin the request that is answered
   */
  answer(work: () => Promise<void>, origin?: CallOrigin): Promise<void> {
    this.#answers++;
    const turn = this.#lane.then(async () => {
      try {
        this.#answered = origin;
        if (this.isOpen) await work();
      } finally {
        this.#answered = undefined;
        this.#answers--;
        if (this.#isBehind) this.#feed();
      }
    });
    this.#lane = turn.catch(() => undefined);
    return turn;
  }

  /** Sends everything after a cursor, up to the end of the log. To be run by `answer`. */
  sendChanges(since: LogCursor, requestId?: string): Promise<void> {
    return this.#senderOf(requestId).sendChanges(since);
  }

  /**
   * Sends a snapshot. To be run by `answer`.
   * @param open opens it, to be read within `memory`
   */
  sendSnapshot(
    open: (memory: RowsMemory) => Promise<ServedSnapshot>,
    requestId?: string,
  ): Promise<void> {
    return this.#senderOf(requestId).sendSnapshot(open);
  }

  #senderOf(requestId: string | undefined): AnswerSender {
    return new AnswerSender(this, this.#options, this.#answered, requestId);
  }
}
