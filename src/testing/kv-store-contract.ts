/**
 * Tests of what the engine relies on in a store. Every storage runs them, also those of other
 * packages:
 *
 *     import { kvStoreContract } from 'sync-coordinator/testing';
 *     kvStoreContract({ name: 'my storage', open: async () => ({ storage, dispose }) });
 *
 * Depends only on node:test and node:assert.
 */

import { describe } from 'node:test';
import type { KVStoreContractOptions } from './kv-store-contract-options.ts';
import { lifecycleContract } from './kv-store-lifecycle-contract.ts';
import { readContract } from './kv-store-read-contract.ts';
import { viewContract } from './kv-store-view-contract.ts';
import { writeContract } from './kv-store-write-contract.ts';

/** Registers the tests with node:test. */
export function kvStoreContract(options: KVStoreContractOptions): void {
  describe(`KVStore contract: ${options.name}`, () => {
    readContract(options);
    writeContract(options);
    viewContract(options);
    lifecycleContract(options);
  });
}
