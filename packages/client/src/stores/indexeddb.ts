/**
 * A store in a browser's IndexedDB, which all tabs of a profile share. A commit is one transaction, and
 * strict: it is on the disk before it counts. What other tabs or the browser hold up is told as an
 * error after a while, and the next call tries again.
 */

import { Tabs } from '../tabs.ts';
import {
  type ClientStore,
  type Condition,
  type StoredValue,
  StoreError,
  type StoreErrorCode,
  type StoreOperation,
} from './store.ts';

/** Of how the entries lie in the database. */
const VERSION = 1;
/** So many entries are read at once. */
const PAGE = 10_000;

export interface IndexedDbStoreOptions {
  /**
   * Whether other tabs may open it too, which needs Web Locks and BroadcastChannel. Where these are
   * missing give each tab a name of its own, and `false`. Default: true.
   */
  shared?: boolean;
  /** So long the browser has to open the database, in milliseconds. Default: 5,000. */
  openMs?: number;
}

/** @param fail aborts the transaction */
type Work<T> = (entries: IDBObjectStore, fail: (cause: unknown) => void) => T;

export class IndexedDbStore implements ClientStore {
  readonly openTabs: ClientStore['openTabs'];
  onFault: ((fault: StoreError) => void) | undefined;
  readonly #name: string;
  readonly #openMs: number;
  #database: Promise<IDBDatabase> | undefined;
  /** The object store of the first opening. A database that was deleted and made anew has another. */
  #entries: string | undefined;
  /** Why this store is of no use any more. */
  #fault: StoreError | undefined;

  constructor(name: string, { shared = true, openMs = 5_000 }: IndexedDbStoreOptions = {}) {
    this.#name = name;
    this.#openMs = openMs;
    if (!shared) return;
    this.openTabs = (environment, port) => new Tabs(`sync-coordinator/${name}`, environment, port);
  }

  load(): Promise<Iterable<[key: string, value: StoredValue]>> {
    return this.#within('readonly', (entries) => {
      const found: [string, StoredValue][] = [];
      const readFrom = (range?: IDBKeyRange) => {
        const keys = entries.getAllKeys(range, PAGE);
        const values = entries.getAll(range, PAGE);
        values.onsuccess = () => {
          keys.result.forEach((key, i) => {
            found.push([key as string, fromDatabase(values.result[i])]);
          });
          const last = keys.result[PAGE - 1];
          if (last !== undefined) readFrom(IDBKeyRange.lowerBound(last, true));
        };
      };
      readFrom();
      return found;
    });
  }

  commit(operations: readonly StoreOperation[], condition?: Condition): Promise<void> {
    return this.#within('readwrite', (entries, fail) => {
      const run = () => {
        for (const operation of operations) {
          if (operation.type === 'put') entries.put(toDatabase(operation.value), operation.key);
          else if (operation.type === 'delete') entries.delete(operation.key);
          else entries.delete(rangeOf(operation.prefix));
        }
        // Else it would wait for this tab, which may be stopped now, and keep all others from the store.
        entries.transaction.commit();
      };
      if (condition === undefined) return run();
      const { key, value } = condition;
      const held = entries.get(key);
      held.onsuccess = () => {
        try {
          if (fromDatabase(held.result) === value) run();
          else fail(new StoreError('STORE_TAKEN', `${key} has another value`));
        } catch (cause) {
          fail(cause);
        }
      };
    });
  }

  async close(): Promise<void> {
    const database = this.#database;
    this.#end('STORE_UNAVAILABLE', 'it is closed');
    await database?.then(
      (opened) => opened.close(),
      () => undefined,
    );
  }

  #end(code: StoreErrorCode, message: string): StoreError {
    this.#database = undefined;
    this.#fault ??= this.#error(code, message);
    return this.#fault;
  }

  #error(code: StoreErrorCode, message: string, cause?: unknown): StoreError {
    return new StoreError(code, `IndexedDB ${this.#name}: ${message}`, { cause });
  }

  #toError(cause: unknown): StoreError {
    if (cause instanceof StoreError) return cause;
    const { name, message } = cause instanceof Error ? cause : new Error(String(cause));
    return this.#error(CODES[name] ?? 'STORE_UNAVAILABLE', message || name, cause);
  }

  /** @returns what the work returned, once it is on the disk */
  async #within<T>(mode: IDBTransactionMode, work: Work<T>): Promise<T> {
    let transaction: IDBTransaction;
    try {
      transaction = await this.#begin(mode).catch((cause) => {
        if (this.#fault !== undefined || cause instanceof StoreError) throw cause;
        // The browser has closed the database, and not said so yet.
        this.#database = undefined;
        return this.#begin(mode);
      });
    } catch (cause) {
      throw this.#toError(cause);
    }
    return new Promise((resolve, reject) => {
      let fault: unknown;
      let result: T;
      const fail = (cause: unknown) => {
        fault = cause;
        transaction.abort();
      };
      transaction.oncomplete = () => resolve(result);
      // Firefox says of the transaction only that it was aborted.
      transaction.onerror = ({ target }) => {
        fault ??= (target as IDBRequest).error;
      };
      transaction.onabort = () => reject(this.#toError(fault ?? transaction.error));
      try {
        result = work(transaction.objectStore(this.#entries ?? ''), fail);
      } catch (cause) {
        fail(cause);
      }
    });
  }

  async #begin(mode: IDBTransactionMode): Promise<IDBTransaction> {
    if (this.#fault !== undefined) throw this.#fault;
    this.#database ??= this.#open().catch((cause) => {
      this.#database = undefined;
      throw this.#toError(cause);
    });
    const database = await this.#database;
    return database.transaction(this.#entries ?? '', mode, { durability: 'strict' });
  }

  #open(): Promise<IDBDatabase> {
    return new Promise((resolve, reject) => {
      let isLate = false;
      // Throws where it is forbidden, and is missing in some private modes.
      const request = indexedDB.open(this.#name, VERSION);
      const timer = setTimeout(() => {
        isLate = true;
        const message = `the browser, or another tab, held it up for ${this.#openMs} ms`;
        reject(this.#error('STORE_UNAVAILABLE', message));
      }, this.#openMs);
      const gone = () => this.#end('STORE_DAMAGED', 'it was deleted');
      request.onupgradeneeded = () => {
        if (this.#entries === undefined) request.result.createObjectStore(`entries-${Date.now()}`);
        else request.transaction?.abort();
      };
      request.onerror = () => {
        clearTimeout(timer);
        // An aborted upgrade: nothing is written to what somebody has deleted.
        reject(request.error?.name === 'AbortError' ? gone() : request.error);
      };
      request.onsuccess = () => {
        clearTimeout(timer);
        const database = request.result;
        const entries = database.objectStoreNames[0];
        const isGone = this.#entries !== undefined && this.#entries !== entries;
        if (isLate || isGone) {
          database.close();
          if (isGone) reject(gone());
          return;
        }
        this.#entries = entries;
        database.onclose = () => {
          this.#database = undefined;
        };
        database.onversionchange = ({ newVersion }) => {
          database.close();
          const fault =
            newVersion === null
              ? gone()
              : this.#end('STORE_VERSION', 'a newer version of the app has opened it');
          this.onFault?.(fault);
        };
        resolve(database);
      };
    });
  }
}

const CODES: Readonly<Record<string, StoreErrorCode>> = {
  QuotaExceededError: 'STORE_FULL',
  VersionError: 'STORE_VERSION',
};

/** What begins the text of what is kept as JSON. */
const JSON_MARK = '\u0000';

/** Long lists are kept as JSON: a browser takes ten times as long to copy their members one by one. */
function toDatabase(value: StoredValue): StoredValue {
  const isMarked = typeof value === 'string' && value.startsWith(JSON_MARK);
  return Array.isArray(value) || isMarked ? JSON_MARK + JSON.stringify(value) : value;
}

function fromDatabase(value: StoredValue): StoredValue {
  const isMarked = typeof value === 'string' && value.startsWith(JSON_MARK);
  return isMarked ? JSON.parse(value.slice(JSON_MARK.length)) : value;
}

/** All keys that begin with a prefix; keys are compared by their UTF-16 units. */
function rangeOf(prefix: string): IDBKeyRange {
  const start = prefix.replace(/\uffff+$/, '');
  if (start === '') return IDBKeyRange.lowerBound(prefix);
  const last = start.charCodeAt(start.length - 1);
  const end = start.slice(0, -1) + String.fromCharCode(last + 1);
  return IDBKeyRange.bound(prefix, end, false, true);
}

/**
 * Keeps a replica in the browser.
 * @param name of the database, one for each replica of an origin
 */
export function indexedDbStore(name: string, options?: IndexedDbStoreOptions): ClientStore {
  return new IndexedDbStore(name, options);
}
