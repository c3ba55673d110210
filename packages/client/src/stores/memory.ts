/** A store that ends with its process: for tests, and for apps that keep nothing. */

import {
  type ClientStore,
  type Condition,
  type StoredValue,
  StoreError,
  type StoreOperation,
} from './store.ts';

export class MemoryStore implements ClientStore {
  readonly #entries: Map<string, StoredValue>;
  #isClosed = false;

  /** @param entries where they are kept: another store that is given the same finds what this one wrote */
  constructor(entries = new Map<string, StoredValue>()) {
    this.#entries = entries;
  }

  /** Opens it again after `close`, as a client that is started anew. */
  async load(): Promise<Iterable<[key: string, value: StoredValue]>> {
    this.#isClosed = false;
    return [...this.#entries];
  }

  async commit(operations: readonly StoreOperation[], condition?: Condition): Promise<void> {
    if (this.#isClosed) throw new StoreError('STORE_UNAVAILABLE', 'the store is closed');
    if (condition !== undefined) this.#mustBeMet(condition);
    for (const operation of operations) {
      if (operation.type === 'put') this.#entries.set(operation.key, operation.value);
      else if (operation.type === 'delete') this.#entries.delete(operation.key);
      else this.#clear(operation.prefix);
    }
  }

  #mustBeMet({ key, value }: Condition): void {
    if (this.#entries.get(key) !== value) {
      throw new StoreError('STORE_TAKEN', `${key} has another value`);
    }
  }

  #clear(prefix: string): void {
    for (const key of this.#entries.keys()) {
      if (key.startsWith(prefix)) this.#entries.delete(key);
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }
}

/** @param entries where they are kept; see `MemoryStore` */
export function memoryStore(entries?: Map<string, StoredValue>): ClientStore {
  return new MemoryStore(entries);
}
