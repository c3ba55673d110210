/**
 * Pages of pushes, read from the log for sessions that are behind. Sessions that read the same
 * stretch with the same filter share a page while one of them needs it. Otherwise a large batch
 * would be read and held once for each session.
 */

import type { LogCursor } from '../../engine/log/cursor.ts';
import type { LogPage } from '../../engine/log/log.ts';
import { isAmongAuthors } from '../../engine/log/log-record.ts';
import type { SyncManager } from '../../engine/sync-manager.ts';
import type { Reservation } from '../budgets/byte-budget.ts';
import { bytesFor, type PageReads } from '../budgets/page-reads.ts';
import { type Frame, frameBytes, pushFrame } from './frames.ts';
import { type PushFilter, readPage } from './read-filter.ts';

export interface PushPage {
  /** `undefined` if the page has nothing for the reader. */
  frame: Frame | undefined;
  changeSets: number;
  end: LogCursor;
  /** To be called once, when the page is no longer needed. */
  release(): void;
}

export interface PushPageOptions {
  after: LogCursor;
  reader: string;
  bytesMax: number;
  filter: PushFilter | undefined;
  reads: PageReads;
  /** Reserves memory, as soon as there is enough. */
  reserve(bytes: number): Promise<Reservation>;
}

interface WrittenPage extends Omit<PushPage, 'release'> {
  authors: LogPage['authors'];
  room: Reservation;
}

interface SharedPage {
  users: number;
  written: Promise<WrittenPage>;
}

export class PushPages {
  readonly #manager: SyncManager;
  readonly #shared = new Map<string, SharedPage>();

  constructor(manager: SyncManager) {
    this.#manager = manager;
  }

  /** The pages that are shared now. */
  get size(): number {
    return this.#shared.size;
  }

  /** @throws SyncError OVERLOADED, SNAPSHOT_REQUIRED, or what the store or a hook throws */
  async read(options: PushPageOptions): Promise<PushPage> {
    const { filter } = options;
    if (filter !== undefined && filter.key === undefined) return this.#readOwn(options);
    const page = await this.#readShared(options);
    if (!isAmongAll(options.reader, page.authors)) return page;
    // The reader's own changes are left out, so it needs a page of its own.
    page.release();
    return this.#readOwn(options);
  }

  async #readOwn(options: PushPageOptions): Promise<PushPage> {
    const { room, ...page } = await this.#write(options, options.reader);
    return { ...page, release: () => room.give() };
  }

  async #readShared(options: PushPageOptions): Promise<PushPage & Pick<LogPage, 'authors'>> {
    const { position, forgets, isFresh } = options.after;
    const stretch = [position, forgets, isFresh, options.bytesMax].join();
    const key = options.filter === undefined ? stretch : `${stretch} ${options.filter.key}`;
    const shared = this.#shared.get(key) ?? { users: 0, written: this.#write(options) };
    this.#shared.set(key, shared);
    shared.users++;
    const leave = () => {
      shared.users--;
      if (shared.users === 0) this.#shared.delete(key);
      return shared.users === 0;
    };
    try {
      const { room, ...page } = await shared.written;
      let isReleased = false;
      const release = () => {
        if (!isReleased && leave()) room.give();
        isReleased = true;
      };
      return { ...page, release };
    } catch (error) {
      leave();
      throw error;
    }
  }

  async #write(
    { after, bytesMax, filter, reads, reserve }: PushPageOptions,
    reader?: string,
  ): Promise<WrittenPage> {
    const room = await reserve(bytesFor(bytesMax, filter === undefined ? 'copied' : 'parsed'));
    try {
      const changeSets: Uint8Array[] = [];
      const options = { after, reader, bytesMax };
      const take = (json: Uint8Array) => {
        changeSets.push(json);
      };
      const page = await readPage(this.#manager, options, filter?.filter, take, { reads, room });
      const frame = changeSets.length === 0 ? undefined : pushFrame(changeSets);
      room.adjust(frame === undefined ? 0 : frameBytes(frame));
      const { authors, end } = page;
      return { frame, changeSets: changeSets.length, end, authors, room };
    } catch (error) {
      room.give();
      throw error;
    }
  }
}

function isAmongAll(site: string, authors: Iterable<string>): boolean {
  for (const joined of authors) if (isAmongAuthors(site, joined)) return true;
  return false;
}
