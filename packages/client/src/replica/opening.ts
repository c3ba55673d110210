/** Reads a store as the replica of one database, and makes it one where it is empty. */

import { siteIdToText } from '../../../../src/clock/site-id.ts';
import type { Environment } from '../environment.ts';
import { type ClientStore, type StoredValue, StoreError, toStoreError } from '../stores/store.ts';
import { FORMAT, META, type Meta } from './entries.ts';

export interface OpeningOptions {
  store: ClientStore;
  environment: Environment;
  databaseId: string;
  /** Where the store is new. Default: a random one. */
  siteId: string | undefined;
}

type Entries = [key: string, value: StoredValue][];

/** @throws StoreError where it can't be read, or holds something else */
export async function readEntries(options: OpeningOptions): Promise<Entries> {
  const { store } = options;
  let entries = [...(await store.load())];
  if (!entries.some(([key]) => key === META)) {
    await create(options);
    entries = [...(await store.load())];
  }
  check(entries.find(([key]) => key === META)?.[1] as Meta, options);
  return entries;
}

/** Of tabs that open an empty store at once, one gives it its site. */
async function create({ store, environment, databaseId, siteId }: OpeningOptions): Promise<void> {
  const value: Meta = {
    format: FORMAT,
    databaseId,
    siteId: siteId ?? siteIdToText(environment.randomBytes(16)),
    generation: 0,
  };
  try {
    await store.commit([{ type: 'put', key: META, value }], { key: META, value: undefined });
  } catch (cause) {
    if (toStoreError(cause).code !== 'STORE_TAKEN') throw cause;
  }
}

function check(meta: Meta, { databaseId }: OpeningOptions): void {
  if (meta.format !== FORMAT) {
    throw new StoreError(
      'STORE_VERSION',
      `the replica has format ${meta.format}, and this client reads format ${FORMAT}`,
    );
  }
  if (meta.databaseId !== databaseId) {
    throw new StoreError(
      'STORE_VERSION',
      `the store holds the database ${meta.databaseId}, not ${databaseId}`,
    );
  }
}
