/**
 * Sends a client what it has asked for: the log from a cursor on, or a snapshot. A page is read when the
 * socket has taken the one before it, and gives its room in memory back when the socket has taken it.
 */

import type { LogCursor } from '../engine/log/cursor.ts';
import { type LogPage, LongRecord } from '../engine/log/log.ts';
import type { LogReader } from '../engine/log/log-readers.ts';
import { workOnEach } from '../engine/records/let-go.ts';
import type { RowsMemory } from '../engine/records/row-reader.ts';
import type { CallOrigin } from '../hooks/types.ts';
import type { Stamp } from '../service/access/rights.ts';
import type { Reservation } from '../service/budgets/byte-budget.ts';
import { bytesFor, FIRST_PAGE_BYTES } from '../service/budgets/page-reads.ts';
import { RowRoom } from '../service/budgets/row-room.ts';
import {
  type Frame,
  frameBytes,
  PageWriter,
  snapshotChunkFrame,
} from '../service/delivery/frames.ts';
import { DEFLATED_PAGE_BYTES_MAX, isWorthDeflating } from '../service/delivery/message-deflater.ts';
import { type ReadFilter, readPage } from '../service/delivery/read-filter.ts';
import type { ServedSnapshot } from '../service/delivery/served-snapshots.ts';
import type { SessionOptions } from './session-host.ts';

/** While memory is scarce pages are this long: each of many sockets gets on by a little at a time. */
const SCARCE_PAGE_BYTES = 256 * 1024;
/** Each page after the first one is longer by this factor, up to `limits.pageBytes`. */
const PAGE_GROWTH = 4;
/** Bytes of a snapshot that wait on one socket: many snapshots at once leave each other room. */
const SNAPSHOT_QUEUED_BYTES_MAX = 512 * 1024;

/** The session that is answered. */
export interface AnsweredSession {
  readonly isOpen: boolean;
  /** Pushes go on from `cursor`, unless they are beyond it already. */
  moveTo(cursor: LogCursor): void;
}

/** A message as it is sent. */
interface Packed {
  frame: Frame;
  send: (frame: Frame, taken?: () => void) => void;
}

/** A page that was read, and the room that it holds until the socket has taken it. */
interface AnswerPage {
  log: LogPage;
  message: Packed;
  room: Reservation;
  /** The state of the client's right before the page was read. */
  stamp: Stamp;
}

function unlessLong(error: unknown): undefined {
  if (!(error instanceof LongRecord)) throw error;
}

/** One is made for each answer: an idle session holds none. */
export class AnswerSender {
  readonly #session: AnsweredSession;
  readonly #options: SessionOptions;
  readonly #origin: CallOrigin | undefined;
  readonly #requestId: string | undefined;
  readonly #pageBytesMax: number;
  /** At which the next page ends. */
  #pageBytes: number;
  /** The next page, read while this one is being sent; `undefined` if there was no room for it. */
  #ahead: Promise<AnswerPage | undefined> | undefined;

  /**
   * @param origin the request that is answered
   * @param requestId the client's own name for it
   */
  constructor(
    session: AnsweredSession,
    options: SessionOptions,
    origin: CallOrigin | undefined,
    requestId: string | undefined,
  ) {
    this.#session = session;
    this.#options = options;
    this.#origin = origin;
    this.#requestId = requestId;
    const { sendQueue, limits } = options;
    const deflated = sendQueue.sendDeflated ? DEFLATED_PAGE_BYTES_MAX : limits.pageBytes;
    const max = Math.min(limits.pageBytes, deflated);
    this.#pageBytesMax = max;
    // Older clients name no request: a page may overtake another there, so they get few.
    this.#pageBytes = requestId === undefined ? max : Math.min(FIRST_PAGE_BYTES, max);
  }

  get #readFilter(): ReadFilter | undefined {
    return this.#options.host.readFilterOf(this.#origin);
  }

  /** Sends everything after `since`, up to the end of the log. */
  async sendChanges(since: LogCursor): Promise<void> {
    const reader = this.#options.database.manager.readers.add(since.position);
    try {
      await this.#sendPages(since, reader);
    } finally {
      reader.release();
    }
  }

  async #sendPages(since: LogCursor, reader: LogReader): Promise<void> {
    const { sendQueue, host } = this.#options;
    let after = since;
    try {
      for (;;) {
        const { end, hasMore } = await this.#sendNext(since, after);
        after = end;
        reader.moveTo(end.position);
        if (!hasMore) return;
        // A filter is asked as late as possible, so nothing is read ahead for it.
        const readsAhead =
          this.#readFilter === undefined && host.hasMemory(this.#bytesFor(this.#pageBytes));
        if (readsAhead) this.#ahead = this.#read(since, end, true).catch(unlessLong);
        // It may fail before it is awaited.
        this.#ahead?.catch(() => undefined);
        await sendQueue.drained(0);
        if (!this.#session.isOpen) return;
      }
    } finally {
      this.#takeAhead()?.then(
        (page) => page?.room.give(),
        () => undefined,
      );
    }
  }

  /**
   * Sends the page after `after`. Has ended when the next one is waited for: what waits for memory
   * must hold nothing of the page before.
   */
  async #sendNext(since: LogCursor, after: LogCursor): Promise<LogPage> {
    // A record that was too long to be read ahead is read now, with nothing else held.
    const page = (await this.#takeAhead()) ?? (await this.#read(since, after));
    if (await this.#maySend(page)) {
      this.#sendPage(page);
      // If the next page cannot be read, pushes go on from here and not from `since`.
      this.#session.moveTo(page.log.end);
      return page.log;
    }
    // The client's identity or its filter changed while the page was read: it is read again.
    page.room.give();
    return this.#sendNext(since, after);
  }

  #takeAhead(): Promise<AnswerPage | undefined> | undefined {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    return ahead;
  }

  async #maySend({ stamp, room }: AnswerPage): Promise<boolean> {
    try {
      return await this.#options.right.holds(stamp, undefined, this.#origin);
    } catch (error) {
      room.give();
      throw error;
    }
  }

  #sendPage({ message: { frame, send }, room }: AnswerPage): void {
    this.#pageBytes = Math.min(this.#pageBytes * PAGE_GROWTH, this.#pageBytesMax);
    send(frame, () => room.give());
  }

  /** Compresses a message if that is agreed on and worth it. */
  async #pack(frame: Frame): Promise<Packed> {
    const { sendQueue, host } = this.#options;
    const { sendDeflated } = sendQueue;
    if (sendDeflated === undefined || !isWorthDeflating(frameBytes(frame))) {
      return { frame, send: (pieces, taken) => sendQueue.send(pieces, taken) };
    }
    return { frame: await host.deflater.deflate(frame), send: sendDeflated };
  }

  /** Memory that a page of `pageBytes` takes while it is read. */
  #bytesFor(pageBytes: number): number {
    return bytesFor(pageBytes, this.#readFilter === undefined ? 'copied' : 'parsed');
  }

  async #read(since: LogCursor, after: LogCursor, isAhead = false): Promise<AnswerPage> {
    const { database, host, siteId, right } = this.#options;
    const pageBytes = this.#pageBytes;
    const hasRoom = host.hasMemory(this.#bytesFor(pageBytes));
    const bytesMax = hasRoom ? pageBytes : Math.min(pageBytes, SCARCE_PAGE_BYTES);
    const room = await host.reserve(this.#bytesFor(bytesMax));
    try {
      const memory = { reads: host.reads, room, isAhead };
      // A new writer for each page: a slow client does not keep the buffers of the longest one.
      const writer = new PageWriter(bytesMax);
      const options = { after, reader: siteId, bytesMax };
      const add = (json: Uint8Array) => writer.add(json);
      const { stamp } = right;
      const log = await readPage(database.manager, options, this.#readFilter, add, memory);
      const { hasMore } = log;
      const carry = hasMore ? undefined : database.manager.log.carryOf(log, since.position);
      if (carry !== undefined) writer.add(carry);
      const frame = writer.take({ hasMore, requestId: this.#requestId });
      room.adjust(frameBytes(frame));
      // Before the right is looked at again, so that the message goes out in the turn of that.
      const message = await this.#pack(frame);
      room.adjust(frameBytes(message.frame));
      return { log, message, room, stamp };
    } catch (error) {
      room.give();
      throw error;
    }
  }

  /**
   * Sends a snapshot, chunk by chunk, as the socket takes it.
   * @param open opens it, to be read within `memory`
   */
  async sendSnapshot(open: (memory: RowsMemory) => Promise<ServedSnapshot>): Promise<void> {
    const { sendQueue, host } = this.#options;
    const room = await RowRoom.open({
      reserve: (bytes) => host.reserve(bytes),
      use: this.#readFilter === undefined ? 'copied' : 'parsed',
      drained: () => sendQueue.drained(0),
      inTurn: host.rowReads,
    });
    try {
      const snapshot = await open(room.memory);
      try {
        if (!(await this.#sendChunks(snapshot))) return;
      } finally {
        await snapshot.close();
      }
      await snapshot.noteSent();
      const complete = { type: 'snapshot_complete', requestId: this.#requestId };
      sendQueue.send(JSON.stringify(complete));
      this.#session.moveTo(snapshot.cursor);
    } finally {
      // The last chunks still wait on the socket.
      sendQueue.drained(0).then(room.give);
    }
  }

  /** @returns whether all chunks were sent */
  #sendChunks({ chunks, isFor, now }: ServedSnapshot): Promise<boolean> {
    const { sendQueue, limits } = this.#options;
    const queuedMax = Math.min(limits.queuedBytesPerSocket / 2, SNAPSHOT_QUEUED_BYTES_MAX);
    return workOnEach(chunks, async (chunk) => {
      const stamp = now();
      const chunkFrame = snapshotChunkFrame(chunk);
      const { frame, send } = await this.#pack(chunkFrame);
      // The right may have ended while the chunk was compressed.
      if (frame !== chunkFrame) await isFor(stamp);
      send(frame);
      // A long chunk stays in memory until the socket has taken the last of it.
      await sendQueue.drained(frameBytes(frame) > queuedMax ? 0 : queuedMax);
      return this.#session.isOpen;
    });
  }
}
