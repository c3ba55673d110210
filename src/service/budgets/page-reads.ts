/**
 * Reads pages of the log within the memory that is reserved for them. The length of a record is
 * known only once it has been read: one transaction may be many times as long as a page, and is
 * never cut. So only a few reads at a time may meet records of unknown length. A read that meets a
 * record longer than its memory gives the memory back, waits for as much as the record takes, and
 * reads again.
 */

import {
  type LogPage,
  type LogReadOptions,
  LongRecord,
  type RecordRoom,
  type TakeChangeSet,
} from '../../engine/log/log.ts';
import type { InTurn } from '../../engine/records/in-turn.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import type { Reservation } from './byte-budget.ts';
import { Turns } from './turns.ts';

/** `copied`: pages are sent as stored. `parsed`: they are parsed for a hook and written again. */
export type PageUse = 'copied' | 'parsed';

/**
 * Bytes of memory for each byte of JSON: for the record, and for what is sent. `parsed`: also for
 * what of it is garbage until the collector comes. With 4, what was read at once left twice as much
 * garbage as it held.
 */
const WHOLE_FACTORS: Readonly<Record<PageUse, number>> = { copied: 2, parsed: 9 };
/**
 * The same for what hooks are given at once: parsed, decoded, rewritten, and written again. Many
 * small changes were measured at 16.
 */
const PARSED_FACTOR = 16;
/** Bytes of JSON that a hook is given at once; a change set is not cut. */
export const PARSED_AT_ONCE_BYTES = 256 * 1024;
/** The first page for a new device is this long, so that its first bytes come soon. */
export const FIRST_PAGE_BYTES = 256 * 1024;
/** How many reads may at once meet records of unknown length. */
const UNKNOWN_READS_AT_ONCE = 2;
/**
 * How many reads may at once read DDL records from beyond their pages. These are read one by one,
 * and may have any length.
 */
const DDL_READS_AT_ONCE = 2;
/** How many lengths of long records are remembered. */
const PLACES_MAX = 1000;

/**
 * The memory for a page with so many bytes of JSON.
 * @param longestBytes of its longest change set, if that is known
 */
export function bytesFor(jsonBytes: number, use: PageUse, longestBytes = 0): number {
  const whole = Math.max(jsonBytes, longestBytes);
  const bytes = whole * WHOLE_FACTORS[use];
  if (use === 'copied') return bytes;
  const atOnce = Math.min(whole, Math.max(longestBytes, PARSED_AT_ONCE_BYTES));
  return bytes + atOnce * PARSED_FACTOR;
}

/** The longest records that fit into so much memory, with a page of `pageBytes`. */
function recordRoomIn(roomBytes: number, pageBytes: number, use: PageUse): RecordRoom {
  const factor = WHOLE_FACTORS[use];
  if (use === 'copied') {
    return { asStored: roomBytes / factor, rewritten: roomBytes / PARSED_FACTOR };
  }
  const besideOthers = (roomBytes - pageBytes * factor) / PARSED_FACTOR;
  const parsed = Math.min(besideOthers, roomBytes / (factor + PARSED_FACTOR));
  return { asStored: parsed, rewritten: parsed };
}

export interface PageMemory {
  reads: PageReads;
  room: Reservation;
  /** The page is read ahead: it fails with `LongRecord` instead of waiting for more memory. */
  isAhead?: boolean;
}

export interface PageReadOptions extends LogReadOptions {
  use: PageUse;
}

export class PageReads {
  readonly #turns = new Turns(UNKNOWN_READS_AT_ONCE);
  readonly #ddlTurns = new Turns(DDL_READS_AT_ONCE);
  /**
   * The length of the record after a position, if it was too long for a read: later reads know it.
   */
  readonly #jsonBytesByPlace = new Map<string, number>();

  /**
   * @param take gets the change sets of the page, in order
   * @throws SyncError OVERLOADED, or what the store throws
   */
  async read(
    manager: SyncManager,
    { use, ...options }: PageReadOptions,
    { room, isAhead = false }: PageMemory,
    take: TakeChangeSet,
  ): Promise<LogPage> {
    const place = `${manager.identity.siteIdText} ${options.after.position}`;
    const { bytesMax } = options;
    const known = () => this.#jsonBytesByPlace.get(place) ?? 0;
    let needed = bytesFor(bytesMax, use, known());
    for (;;) {
      if (room.bytes < needed) {
        if (isAhead) throw this.#longRecord(place);
        await room.retake(needed);
      }
      const isKnown = known() > 0;
      if (!isKnown) await this.#turns.take();
      try {
        // Another read may have found the length while this one waited.
        const recordRoom = recordRoomIn(room.bytes, bytesMax, use);
        if (known() > recordRoom.asStored) throw this.#longRecord(place);
        return await manager.log.page({ ...options, room: recordRoom, inTurn: this.#inTurn }, take);
      } catch (error) {
        if (!(error instanceof LongRecord)) throw error;
        this.#note(place, error.jsonBytes);
        needed = bytesFor(bytesMax, error.form === 'rewritten' ? 'parsed' : use, error.jsonBytes);
      } finally {
        if (!isKnown) this.#turns.end();
      }
    }
  }

  /** No read waits for memory within its turn, so every turn ends. */
  readonly #inTurn: InTurn = (read) => this.#ddlTurns.run(read);

  #longRecord(place: string): LongRecord {
    return new LongRecord(this.#jsonBytesByPlace.get(place) ?? 0, 'asStored');
  }

  #note(place: string, jsonBytes: number): void {
    this.#jsonBytesByPlace.delete(place);
    this.#jsonBytesByPlace.set(place, jsonBytes);
    const [oldest] = this.#jsonBytesByPlace.keys();
    if (this.#jsonBytesByPlace.size > PLACES_MAX && oldest !== undefined) {
      this.#jsonBytesByPlace.delete(oldest);
    }
  }
}
