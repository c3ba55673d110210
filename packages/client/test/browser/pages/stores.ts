/** A page that has the IndexedDB store, for tests that drive it from outside. */

import { IndexedDbStore } from '../../../src/stores/indexeddb.ts';
import { StoreError } from '../../../src/stores/store.ts';
import { clientStoreContract } from '../../../src/testing/index.ts';

/** Runs the contract. @returns by title, `kept` or why it failed */
async function runContract(): Promise<Record<string, string>> {
  const results: Record<string, string> = {};
  const tests: [string, () => Promise<void>][] = [];
  clientStoreContract({
    test: (name, run) => tests.push([name, run]),
    open: (name) => new IndexedDbStore(name),
  });
  for (const [name, run] of tests) {
    results[name] = await run().then(
      () => 'kept',
      (error: Error) => error.message,
    );
  }
  return results;
}

/** @returns the code of the StoreError that it fails with, or what else became of it */
async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'done';
  } catch (error) {
    return error instanceof StoreError ? error.code : `threw ${error}`;
  }
}

const stores = { IndexedDbStore, runContract, codeOf };

declare global {
  interface Window {
    stores: typeof stores;
    store: IndexedDbStore;
  }
}

window.stores = stores;
