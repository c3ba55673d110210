/**
 * Reads pages of the log within the memory that is reserved for them. How long a record is only shows once it
 * has been read: one transaction may be many times as long as a page, and isn't cut. So what is read without
 * knowing is read by few at a time; who meets a record that is longer than its room lets go of it, waits for
 * as much as it takes, and reads again.
 */

import {
  type InTurn,
  type LogPage,
  type LogReadOptions,
  LongRecord,
  type TakeChangeSet,
} from '../engine/log/log.ts';
import type { SyncManager } from '../engine/sync-manager.ts';
import type { Reservation } from './byte-budget.ts';
import { Turns } from './turns.ts';

/** What becomes of a page: it is only copied, or parsed for a hook and written again. */
export type PageUse = 'copied' | 'parsed';

/** Bytes of memory for each byte of JSON: once as it was read, and once as what is made of it. */
const FACTORS: Readonly<Record<PageUse, number>> = { copied: 2, parsed: 8 };
/** So many read at once what they may have no room for. */
const UNKNOWN_READS_AT_ONCE = 2;
/** So many read DDL that stands behind their pages: its records may be of any length, and are read one by one. */
const DDL_READS_AT_ONCE = 2;
/** So many places in logs are remembered. */
const PLACES_MAX = 1000;

/** What a page of so many bytes of JSON takes of the memory. */
export function bytesFor(jsonBytes: number, use: PageUse): number {
  return jsonBytes * FACTORS[use];
}

export interface PageMemory {
  reads: PageReads;
  room: Reservation;
  /** It is read before it is needed: rather than wait for more room it fails with `LongRecord`. */
  isAhead?: boolean;
}

export interface PageReadOptions extends LogReadOptions {
  use: PageUse;
}

export class PageReads {
  readonly #turns = new Turns(UNKNOWN_READS_AT_ONCE);
  readonly #ddlTurns = new Turns(DDL_READS_AT_ONCE);
  /** Of the record after a place, where it was too long for somebody: whoever comes after needs not try. */
  readonly #jsonBytesByPlace = new Map<string, number>();

  /**
   * @param take gets its change sets, in order
   * @throws SyncError OVERLOADED, or what the store says
   */
  async read(
    manager: SyncManager,
    { use, ...options }: PageReadOptions,
    { room, isAhead = false }: PageMemory,
    take: TakeChangeSet,
  ): Promise<LogPage> {
    const place = `${manager.identity.siteIdText} ${options.after.position}`;
    const known = () => bytesFor(this.#jsonBytesByPlace.get(place) ?? 0, use);
    let needed = Math.max(bytesFor(options.bytesMax, use), known());
    for (;;) {
      if (room.bytes < needed) {
        if (isAhead) throw this.#longRecord(place);
        await room.retake(needed);
      }
      const isKnown = known() > 0;
      if (!isKnown) await this.#turns.take();
      try {
        // While it waited for its turn, another may have found out.
        if (known() > room.bytes) throw this.#longRecord(place);
        const recordRoom = {
          asStored: room.bytes / FACTORS[use],
          rewritten: room.bytes / FACTORS.parsed,
        };
        return await manager.log.page({ ...options, room: recordRoom, inTurn: this.#inTurn }, take);
      } catch (error) {
        if (!(error instanceof LongRecord)) throw error;
        this.#note(place, error.jsonBytes);
        needed = bytesFor(error.jsonBytes, error.form === 'rewritten' ? 'parsed' : use);
      } finally {
        if (!isKnown) this.#turns.end();
      }
    }
  }

  /** Nobody waits for memory in there: who has a turn always ends it. */
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
