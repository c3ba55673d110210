/** A store that ends with its process: for tests, and for apps that keep nothing. */

import type { ClientStore, StoredValue, StoreOperation } from './store.ts';

export class MemoryStore implements ClientStore {
  readonly #entries = new Map<string, StoredValue>();

  async load(): Promise<Iterable<[key: string, value: StoredValue]>> {
    return [...this.#entries];
  }

  async commit(operations: readonly StoreOperation[]): Promise<void> {
    for (const operation of operations) {
      if (operation.type === 'put') this.#entries.set(operation.key, operation.value);
      else if (operation.type === 'delete') this.#entries.delete(operation.key);
      else this.#clear(operation.prefix);
    }
  }

  #clear(prefix: string): void {
    for (const key of this.#entries.keys()) {
      if (key.startsWith(prefix)) this.#entries.delete(key);
    }
  }

  async close(): Promise<void> {}
}

export function memoryStore(): ClientStore {
  return new MemoryStore();
}
