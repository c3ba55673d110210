/**
 * The queue of a webhook on disk: events that are yet to be delivered, and the position up to which
 * each database's log has been taken up:
 *
 *   e number(8)     an event, in the order of delivery
 *   c databaseId    the position up to which the log of a database has been taken up
 *   i               a UUID: which queue it is, for as long as its directory is there
 *
 * An event and its cursor are written in one transaction, with fsync: no transaction of the log is
 * left out or taken up twice, whenever the process ends.
 */

import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import type { HlcText } from '../../clock/hlc.ts';
import { openStorage } from '../../storage/by-address/open-storage.ts';
import type { KVRange, KVStore, KVTransaction, Storage } from '../../storage/kv-store.ts';

export interface QueuedEvent {
  /** The same in each attempt. */
  id: string;
  /** JSON, in the form in which it is sent. */
  body: string;
}

interface Entry extends QueuedEvent {
  key: Uint8Array;
}

const STORE_ID = 'webhook';
const EVENTS: KVRange = { gte: Buffer.from('e'), lt: Buffer.from('f') };
const CURSORS: KVRange = { gte: Buffer.from('c'), lt: Buffer.from('d') };

const ID_KEY = Buffer.from('i');

const cursorKey = (databaseId: string): Buffer => Buffer.from(`c${databaseId}`);

async function orAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  const listening = new AbortController();
  const aborted = new Promise<never>((_resolve, reject) => {
    const options = { once: true, signal: listening.signal };
    signal.addEventListener('abort', () => reject(signal.reason), options);
  });
  await Promise.race([work, aborted]).finally(() => listening.abort());
}

function eventKey(number: bigint): Buffer {
  const key = Buffer.alloc(9, 'e');
  key.writeBigUInt64BE(number, 1);
  return key;
}

/**
 * Resolves when this process closes a directory: a module that a reload has replaced closes its own
 * late.
 */
const closedByDirectory = new Map<string, Promise<void>>();

export class WebhookQueue {
  readonly #storage: Storage;
  readonly #release: () => void;
  #store: KVStore;
  #id = '';
  #next = 0n;
  #length = 0;

  /**
   * Waits until no other module of this process has the directory open. Fails if another process
   * has it.
   * @param signal ends the waiting, for an instance of a failed reload, which waits for one that
   *   stays
   */
  static async open(directory: string, signal?: AbortSignal): Promise<WebhookQueue> {
    const path = resolve(directory);
    const before = closedByDirectory.get(path) ?? Promise.resolve();
    let release = () => {};
    const closed = new Promise<void>((done) => {
      release = done;
    });
    closedByDirectory.set(
      path,
      before.then(() => closed),
    );
    try {
      await orAborted(before, signal);
    } catch (error) {
      release();
      throw error;
    }
    let storage: Storage | undefined;
    try {
      storage = await openStorage({ url: `leveldb:${path}`, durability: 'fsync', dataDir: path });
      const queue = new WebhookQueue(storage, await storage.open(STORE_ID), release);
      await queue.#identify();
      await queue.#count();
      return queue;
    } catch (error) {
      await storage?.close();
      release();
      throw error;
    }
  }

  private constructor(storage: Storage, store: KVStore, release: () => void) {
    this.#storage = storage;
    this.#store = store;
    this.#release = release;
  }

  async #identify(): Promise<void> {
    const [known] = await this.#store.getMany([ID_KEY]);
    this.#id = known === undefined ? randomUUID() : Buffer.from(known).toString();
    if (known !== undefined) return;
    await this.#write((transaction) => transaction.put(ID_KEY, Buffer.from(this.#id)));
  }

  /** Counts the events, and finds the next number. */
  async #count(): Promise<void> {
    let last: Uint8Array | undefined;
    this.#length = 0;
    for await (const entries of this.#store.iterate(EVENTS)) {
      this.#length += entries.length;
      last = entries.at(-1)?.[0];
    }
    this.#next = last === undefined ? 0n : Buffer.from(last).readBigUInt64BE(1) + 1n;
  }

  /**
   * Runs work on the store, and opens that again if the work fails: only then it takes further
   * writes, and shows whether the failed one is there.
   */
  async #use<T>(work: (store: KVStore) => Promise<T>): Promise<T> {
    try {
      return await work(this.#store);
    } catch (error) {
      await this.#store.close();
      this.#store = await this.#storage.open(STORE_ID);
      await this.#count();
      throw error;
    }
  }

  #write(work: (transaction: KVTransaction) => void): Promise<void> {
    return this.#use((store) => store.exclusive(async (transaction) => work(transaction)));
  }

  /** A UUID, which stays the same after a restart. */
  get id(): string {
    return this.#id;
  }

  get length(): number {
    return this.#length;
  }

  /** The databases that have a cursor. */
  async databaseIds(): Promise<string[]> {
    const ids: string[] = [];
    for await (const entries of this.#store.iterate(CURSORS)) {
      ids.push(...entries.map(([key]) => Buffer.from(key).toString('utf8', 1)));
    }
    return ids;
  }

  async cursor(databaseId: string): Promise<HlcText | undefined> {
    const [bytes] = await this.#use((store) => store.getMany([cursorKey(databaseId)]));
    return bytes && Buffer.from(bytes).toString();
  }

  /** Moves a cursor, and queues the event for what lies between, if any. */
  async advance(databaseId: string, cursor: HlcText, event?: QueuedEvent): Promise<void> {
    await this.#write((transaction) => {
      transaction.put(cursorKey(databaseId), Buffer.from(cursor));
      if (event === undefined) return;
      transaction.put(eventKey(this.#next), Buffer.from(JSON.stringify(event)));
    });
    if (event === undefined) return;
    this.#next++;
    this.#length++;
  }

  /** Removes the cursor of a database. */
  async forget(databaseId: string): Promise<void> {
    await this.#write((transaction) => transaction.delete(cursorKey(databaseId)));
  }

  first(): Promise<Entry | undefined> {
    return this.#use(async (store) => {
      for await (const [entry] of store.iterate({ ...EVENTS, limit: 1 })) {
        if (entry === undefined) continue;
        const [key, value] = entry;
        const event: QueuedEvent = JSON.parse(Buffer.from(value).toString());
        return { key, ...event };
      }
      return undefined;
    });
  }

  async remove({ key }: Entry): Promise<void> {
    await this.#write((transaction) => transaction.delete(key));
    this.#length--;
  }

  async close(): Promise<void> {
    await this.#storage.close();
    this.#release();
  }
}
