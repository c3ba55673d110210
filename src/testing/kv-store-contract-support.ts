/** What the parts of the KVStore contract share. */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { KVEntry, KVRange, KVReader, KVStore } from '../storage/kv-store.ts';
import type { KVStoreContractOptions, OpenedStorage } from './kv-store-contract-options.ts';

/** Bytes from a string with one byte a character, so that binary keys can be written as strings. */
export const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

export const text = (value: Uint8Array): string =>
  Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1');

/** The range of all keys that these tests write, without those of the storage layer. */
export const EVERYTHING: KVRange = { gte: bytes('\x01'), lt: bytes('\xff\xff\xff\xff') };

export async function openStorage(
  t: TestContext,
  options: KVStoreContractOptions,
): Promise<OpenedStorage> {
  const opened = await options.open();
  t.after(() => opened.dispose());
  return opened;
}

export async function openStore(t: TestContext, options: KVStoreContractOptions): Promise<KVStore> {
  const { storage } = await openStorage(t, options);
  return storage.open('contract');
}

/** Puts entries, or deletes those with the value `undefined`, in one transaction. */
export function write(
  store: KVStore,
  changes: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  return store.exclusive(async (transaction) => {
    for (const [key, value] of Object.entries(changes)) {
      if (value === undefined) transaction.delete(bytes(key));
      else transaction.put(bytes(key), bytes(value));
    }
  });
}

export async function get(reader: KVReader, key: string): Promise<string | undefined> {
  const [value] = await reader.getMany([bytes(key)]);
  return value && text(value);
}

/** The arrays of a range. Checks that none is empty. */
export async function arraysOf(reader: KVReader, range: KVRange): Promise<(readonly KVEntry[])[]> {
  const arrays: (readonly KVEntry[])[] = [];
  for await (const entries of reader.iterate(range)) {
    assert.ok(entries.length > 0, 'an array of entries was empty');
    arrays.push(entries);
  }
  return arrays;
}

/** The entries of a range as text. */
export async function entriesOf(
  reader: KVReader,
  range: KVRange = EVERYTHING,
): Promise<[string, string][]> {
  const arrays = await arraysOf(reader, range);
  return arrays.flat().map(([key, value]) => [text(key), text(value)]);
}

export async function keysOf(reader: KVReader, range: KVRange = EVERYTHING): Promise<string[]> {
  return (await entriesOf(reader, range)).map(([key]) => key);
}

export const numberedKey = (index: number): string => `k${String(index).padStart(8, '0')}`;

/** Writes numbered keys in a few large transactions. */
export async function writeNumbered(store: KVStore, count: number, value = 'v'): Promise<void> {
  const perTransaction = 10_000;
  for (let from = 0; from < count; from += perTransaction) {
    await store.exclusive(async (transaction) => {
      for (let index = from; index < Math.min(count, from + perTransaction); index++) {
        transaction.put(bytes(numberedKey(index)), bytes(value));
      }
    });
  }
}

/** A promise with its `resolve`. */
export function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

export const unavailable = { name: 'SyncError', code: 'STORE_UNAVAILABLE' };
