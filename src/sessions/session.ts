/**
 * One client on one socket: a cursor in its database's log, and the lane in which
 * everything ordered is sent to it.
 *
 * A push is the cursor moving on. While the client keeps up it moves with each commit,
 * at the cost of one send; when the socket is behind, or an answer is being sent, it stays,
 * and is fed from the log later, at the socket's own pace. So no push is ever missed and
 * no push is ever queued beyond `queuedBytesPerSocket`.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { compareHlc, type HlcText } from '../clock/hlc.ts';
import type { SiteIdText } from '../clock/site-id.ts';
import type { LogCursor } from '../engine/log/cursor.ts';
import { type LogPage, LongRecord } from '../engine/log/log.ts';
import type { LogReader } from '../engine/log/log-readers.ts';
import type { Appended } from '../engine/log-announcer.ts';
import type { AdmitRow } from '../engine/snapshot/row-reader.ts';
import { type SyncError, toSyncError } from '../errors/sync-error.ts';
import type { HookAnswer } from '../hooks/refusal.ts';
import type { CallOrigin, ClientIdentity } from '../hooks/types.ts';
import type { ErrorCode } from '../protocol/error-codes.ts';
import { WS_CLOSE } from '../protocol/ws-outcomes.ts';
import type { Reservation } from '../service/byte-budget.ts';
import { isCarryNeeded } from '../service/carry.ts';
import type { ServedSnapshot } from '../service/delivery.ts';
import { frameBytes, PageWriter, snapshotChunkFrame } from '../service/frames.ts';
import type { LiveSession, Push, TryReserve } from '../service/live-session.ts';
import type { DatabaseAccess, OpenDatabase } from '../service/open-database.ts';
import { bytesFor, type PageReads } from '../service/page-reads.ts';
import type { PushPages } from '../service/push-pages.ts';
import { type PushFilter, type ReadFilter, readPage } from '../service/read-filter.ts';
import { isDenial, type ReadRight, type Stamp } from '../service/rights.ts';
import { SnapshotRoom } from '../service/snapshot-room.ts';
import type { SendQueue } from './send-queue.ts';

export interface SessionLimits {
  /** Bytes that may be queued on the socket before it counts as behind. */
  queuedBytesPerSocket: number;
  /** Size at which an answer is cut. */
  pageBytes: number;
}

/** The connection that it is on. */
export interface SessionHost {
  /** What its client may see, if a hook has a say in it. */
  readFilterOf(origin?: CallOrigin): ReadFilter | undefined;
  /** The same for pushes, as of an identity. */
  pushFilterOf(identity: ClientIdentity): PushFilter | undefined;
  pushed(changeSets: number): void;
  /** Room for what it is sent; or for what is sent to several of its database. */
  reserve(bytes: number, isShared?: boolean): Promise<Reservation>;
  /** The same, if it is there at once. */
  tryReserve: TryReserve;
  hasMemory(bytes: number): boolean;
  /** Through which it reads the log, in the room that it has. */
  readonly reads: PageReads;
  /** Its socket has no room for a push: from now on it is fed from the log. */
  fellBehind(): void;
  failed(error: unknown): void;
  /** It may not read, as far as one knows by now, and as hooks have said: it is pushed nothing. */
  readDenied(error: SyncError, answers: HookAnswer[]): void;
}

export interface SessionOptions {
  connectionId: string;
  siteId: SiteIdText;
  identity: ClientIdentity;
  database: OpenDatabase & DatabaseAccess;
  sendQueue: SendQueue;
  /** Of its database. */
  pages: PushPages;
  /** To changes. */
  right: ReadRight;
  limits: SessionLimits;
  host: SessionHost;
}

/** What is waited for, if it is said for how long. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'STORE_UNAVAILABLE',
  'RATE_LIMITED',
  'OVERLOADED',
]);
/** Pages of a push that reads the log are at most this: a slow socket shall hold little. */
const PUSH_PAGE_BYTES_MAX = 256 * 1024;
/** Where memory is scarce, so are those of an answer: many sockets get on, each a little at a time. */
const SCARCE_PAGE_BYTES = 256 * 1024;
/** Of a snapshot: of many at once none takes the others' room. */
const SNAPSHOT_QUEUED_BYTES_MAX = 512 * 1024;

/** Read and written, and the room that it has until it has been taken. */
interface AnswerPage {
  log: LogPage;
  writer: PageWriter;
  room: Reservation;
  /** As of when it was read. */
  stamp: Stamp;
}

function unlessLong(error: unknown): undefined {
  if (!(error instanceof LongRecord)) throw error;
}

export class Session implements LiveSession {
  readonly connectionId: string;
  readonly siteId: SiteIdText;
  readonly connectedAt = Date.now();
  /** Who it was when it joined; newer credentials make a newer identity. */
  readonly joinedAs: ClientIdentity;
  identity: ClientIdentity;
  /** To be pushed what others write. */
  readonly right: ReadRight;
  /** What the client last said it has. */
  lastSyncHLC: HlcText | undefined;
  readonly #options: SessionOptions;
  #cursor: LogCursor;
  #lane: Promise<unknown> = Promise.resolve();
  /** Answers under way or waiting; pushes wait for them. */
  #answers = 0;
  /** What the answer is to that is being sent. */
  #answered: CallOrigin | undefined;
  #feeding = false;
  /** Of hooks that were asked whether it may be pushed to. */
  #answersHeard: HookAnswer[] = [];
  #ended = false;

  constructor(options: SessionOptions) {
    this.connectionId = options.connectionId;
    this.siteId = options.siteId;
    this.joinedAs = options.identity;
    this.identity = options.identity;
    this.right = options.right;
    this.#options = options;
    this.#cursor = options.database.manager.endCursor;
  }

  get database(): OpenDatabase & DatabaseAccess {
    return this.#options.database;
  }

  end(): void {
    this.#ended = true;
  }

  /** Ends it from this side. The client may come back. */
  disconnect(reason = 'try again'): void {
    this.#options.sendQueue.close(WS_CLOSE.tryAgain, reason);
  }

  /** Ends it from this side, and tells the client what it will be told when it comes back. */
  startOver(message: string): void {
    const code = 'SNAPSHOT_REQUIRED';
    this.#options.sendQueue.send(JSON.stringify({ type: 'error', code, message, fatal: false }));
    this.end();
    this.disconnect(code);
  }

  get #readFilter(): ReadFilter | undefined {
    return this.#options.host.readFilterOf(this.#answered);
  }

  get #isOpen(): boolean {
    return !this.#ended && this.#options.sendQueue.isOpen;
  }

  /**
   * The log has grown.
   * @param frame the push for this session, if there is something for it; made on demand
   */
  push(appended: Appended, frame: (tryReserve: TryReserve) => Push | undefined): void {
    const { sendQueue, limits, host } = this.#options;
    const inStep =
      !this.#feeding &&
      this.#answers === 0 &&
      this.#isAt(appended.after) &&
      this.#isOpen &&
      this.right.state === 'granted';
    const hasRoom = sendQueue.queuedBytes <= limits.queuedBytesPerSocket / 2;
    if (inStep && !hasRoom) host.fellBehind();
    if (!inStep || !hasRoom || appended.records === undefined) {
      this.#feed();
      return;
    }
    // What it may see of it is asked when the log is read for it.
    const pushed = frame((bytes, isShared) => host.tryReserve(bytes, isShared));
    if (pushed !== undefined && (pushed.bytes === undefined || this.#readFilter !== undefined)) {
      this.#feed();
      return;
    }
    this.#cursor = { position: appended.end, forgets: appended.forgets, isFresh: false };
    if (pushed?.bytes === undefined) return;
    sendQueue.send(pushed.bytes, pushed.share());
    host.pushed(pushed.changeSets);
  }

  /** Brings the socket up to the end of the log, as fast as it takes it. */
  #feed(): void {
    if (this.#feeding || this.#answers > 0 || !this.#isOpen) return;
    this.#feeding = true;
    this.#feedLoop()
      .catch((error: unknown) => this.#feedFailed(error))
      .finally(() => {
        this.#feeding = false;
        if (this.#isBehind) this.#feed();
      });
  }

  #isAt(position: HlcText): boolean {
    return this.#cursor.position === position;
  }

  /** An answer, or a snapshot, goes to here: pushes go on from there, unless they are further already. */
  #moveTo(cursor: LogCursor): void {
    if (compareHlc(cursor.position, this.#cursor.position) > 0) this.#cursor = cursor;
  }

  /** What the store, or a hook, says will pass is waited for: the socket stays, and its cursor. */
  async #feedFailed(error: unknown): Promise<void> {
    // Who was ended meanwhile has been told why.
    if (!this.#isOpen) return;
    const { code, message, retryAfterMs } = toSyncError(error);
    if (isDenial(error)) this.#options.host.readDenied(error, this.#answersHeard);
    else if (code === 'SNAPSHOT_REQUIRED') this.startOver(message);
    else if (PASSING.has(code) && retryAfterMs !== undefined) {
      await sleep(retryAfterMs, undefined, { ref: false });
    } else this.#options.host.failed(error);
  }

  get #isBehind(): boolean {
    const { position } = this.#options.database.manager;
    if (!this.#isOpen || this.#answers > 0) return false;
    return compareHlc(this.#cursor.position, position) < 0 && this.right.state !== 'denied';
  }

  /** Its rights may be others than they were: pushes go on, or end. */
  async reconsider(): Promise<void> {
    try {
      if (this.#isOpen) await this.#confirmRight();
    } catch (error) {
      await this.#feedFailed(error);
    }
    if (this.#isBehind) this.#feed();
  }

  /** Whether to say in the log that it was refused is for the host to know: it may never have had the right. */
  #confirmRight(): Promise<void> {
    this.#answersHeard = [];
    return this.right.confirm(undefined, undefined, this.#answersHeard);
  }

  async #feedLoop(): Promise<void> {
    const place = this.#options.database.manager.readers.add(this.#cursor.position);
    try {
      while (this.#isBehind) {
        if (!(await this.#feedPage())) return;
        place.moveTo(this.#cursor.position);
      }
    } finally {
      place.release();
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
    // An answer has begun meanwhile: it takes the cursor on, and this page is its business.
    const isIts = this.#isOpen && this.#answers === 0 && this.#cursor === after;
    // Or it was doubted while the page was read, or is somebody else's by now, who may see less.
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
   * @param work gets its own errors to the client
   * @param origin what it answers
   */
  answer(work: () => Promise<void>, origin?: CallOrigin): Promise<void> {
    this.#answers++;
    const turn = this.#lane.then(async () => {
      try {
        this.#answered = origin;
        if (this.#isOpen) await work();
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
  async sendChanges(since: LogCursor): Promise<void> {
    const place = this.#options.database.manager.readers.add(since.position);
    try {
      await this.#sendPages(since, place);
    } finally {
      place.release();
    }
  }

  async #sendPages(since: LogCursor, place: LogReader): Promise<void> {
    const { sendQueue, limits, host } = this.#options;
    /** `undefined` for what could not be read yet. */
    let ahead: Promise<AnswerPage | undefined> | undefined;
    let after = since;
    try {
      let page = await this.#readForAnswer(since);
      for (;;) {
        const { log } = page;
        if (!(await this.#maySend(page))) {
          // It was read for who it was before, or as other modules let it: so it is read again.
          page.room.give();
          page = await this.#readForAnswer(after);
          continue;
        }
        this.#sendPage(since, page);
        after = log.end;
        // With each page: if the next one cannot be read, pushes go on from here, not from before.
        this.#moveTo(log.end);
        place.moveTo(log.end.position);
        if (!log.hasMore) return;
        // What a client may see is asked as late as can be; all else is read while a page is on its way,
        // where there is room for one more.
        const readsAhead =
          this.#readFilter === undefined && host.hasMemory(this.#bytesFor(limits.pageBytes));
        if (readsAhead) ahead = this.#readForAnswer(log.end, true).catch(unlessLong);
        // It may fail before anybody waits for it.
        ahead?.catch(() => undefined);
        await sendQueue.drained(0);
        if (!this.#isOpen) return;
        // What was too long for the room that there was waits for more now, and holds nothing meanwhile.
        page = (await ahead) ?? (await this.#readForAnswer(log.end));
        ahead = undefined;
      }
    } finally {
      ahead?.then(
        (page) => page?.room.give(),
        () => undefined,
      );
    }
  }

  async #maySend({ stamp, room }: AnswerPage): Promise<boolean> {
    try {
      return await this.right.holds(stamp, undefined, this.#answered);
    } catch (error) {
      room.give();
      throw error;
    }
  }

  #sendPage(since: LogCursor, { log, writer, room }: AnswerPage): void {
    const { sendQueue, database } = this.#options;
    const { lastSent, end, hasMore } = log;
    if (!hasMore && isCarryNeeded(since.position, lastSent, end.position)) {
      writer.add(database.manager.carryPosition(end.position));
    }
    const frame = writer.take();
    room.adjust(frameBytes(frame));
    sendQueue.send(frame, () => room.give());
  }

  /** What a page of its takes of the memory. */
  #bytesFor(pageBytes: number): number {
    return bytesFor(pageBytes, this.#readFilter === undefined ? 'copied' : 'parsed');
  }

  async #readForAnswer(after: LogCursor, isAhead = false): Promise<AnswerPage> {
    const { database, limits, host } = this.#options;
    const { pageBytes } = limits;
    const hasRoom = host.hasMemory(this.#bytesFor(pageBytes));
    const bytesMax = hasRoom ? pageBytes : Math.min(pageBytes, SCARCE_PAGE_BYTES);
    const room = await host.reserve(this.#bytesFor(bytesMax));
    try {
      const memory = { reads: host.reads, room, isAhead };
      // For one page: what it grew to is not kept while a slow client takes the next.
      const writer = new PageWriter(bytesMax);
      const options = { after, reader: this.siteId, bytesMax };
      const add = (json: Uint8Array) => writer.add(json);
      const { stamp } = this.right;
      const log = await readPage(database.manager, options, this.#readFilter, add, memory);
      room.adjust(writer.length);
      return { log, writer, room, stamp };
    } catch (error) {
      room.give();
      throw error;
    }
  }

  /**
   * Sends a snapshot, chunk by chunk, as the socket takes it. To be run by `answer`.
   * @param open opens it, to be read in the room that `admit` makes
   */
  async sendSnapshot(open: (admit: AdmitRow) => Promise<ServedSnapshot>): Promise<void> {
    const { sendQueue, host } = this.#options;
    const room = await SnapshotRoom.open({
      reserve: (bytes) => host.reserve(bytes),
      use: this.#readFilter === undefined ? 'copied' : 'parsed',
      drained: () => sendQueue.drained(0),
    });
    try {
      const snapshot = await open(room.admit);
      try {
        if (!(await this.#sendChunks(snapshot))) return;
      } finally {
        await snapshot.close();
      }
      await snapshot.noteSent();
      sendQueue.send('{"type":"snapshot_complete"}');
      this.#moveTo(snapshot.cursor);
    } finally {
      // What is left of it on the socket is its to hold.
      sendQueue.drained(0).then(room.give);
    }
  }

  /** @returns whether all of it was */
  async #sendChunks({ chunks }: ServedSnapshot): Promise<boolean> {
    const { sendQueue, limits } = this.#options;
    const queuedMax = Math.min(limits.queuedBytesPerSocket / 2, SNAPSHOT_QUEUED_BYTES_MAX);
    for await (const chunk of chunks) {
      const frame = snapshotChunkFrame(chunk);
      sendQueue.send(frame);
      // A long one is in memory until the last of it has been taken.
      await sendQueue.drained(frameBytes(frame) > queuedMax ? 0 : queuedMax);
      if (!this.#isOpen) return false;
    }
    return true;
  }
}
