import { test } from 'node:test';
import { MemoryStore } from '../../src/stores/memory.ts';
import type { StoredValue } from '../../src/stores/store.ts';
import { clientStoreContract } from '../../src/testing/index.ts';

const kept = new Map<string, Map<string, StoredValue>>();

function entriesOf(name: string): Map<string, StoredValue> {
  const entries = kept.get(name) ?? new Map();
  kept.set(name, entries);
  return entries;
}

clientStoreContract({
  test,
  open: (name) => new MemoryStore(entriesOf(name)),
  keepsReferences: true,
});
