/** Reads a store as the replica of one database, and makes it one where it is empty. */

import { siteIdToText } from '../../../../src/clock/site-id.ts';
import type { SiteClock } from '../clock.ts';
import type { Environment } from '../environment.ts';
import type { ChangeSet } from '../protocol/messages.ts';
import { type ClientStore, type StoredValue, StoreError, toStoreError } from '../stores/store.ts';
import { dated } from '../transaction.ts';
import { entryOf, FORMAT, META, type Meta, OUT } from './entries.ts';
import { unpacked } from './pages.ts';
import type { StoreLog } from './store-log.ts';

export interface OpeningOptions {
  store: ClientStore;
  environment: Environment;
  databaseId: string;
  /** Where the store is new. Default: a random one. */
  siteId: string | undefined;
}

/** @throws StoreError where it can't be read, or holds something else */
export async function readEntries(
  options: OpeningOptions,
): Promise<{ meta: Meta; entries: Map<string, StoredValue>; paged: Set<string> }> {
  const { store } = options;
  let entries = new Map(await store.load());
  if (!entries.has(META)) {
    await create(options);
    entries = new Map(await store.load());
  }
  const meta = entries.get(META) as Meta;
  check(meta, options);
  return { meta, ...unpacked(entries) };
}

/** Of tabs that open an empty store at once, one gives it its site. */
async function create(options: OpeningOptions): Promise<void> {
  try {
    await options.store.commit([entryOf(META, createMeta(options))], {
      key: META,
      value: undefined,
    });
  } catch (cause) {
    if (toStoreError(cause).code !== 'STORE_TAKEN') throw cause;
  }
}

/** Of a replica that is new. */
export function createMeta({ environment, databaseId, siteId }: OpeningOptions): Meta {
  return {
    format: FORMAT,
    databaseId,
    siteId: siteId ?? siteIdToText(environment.randomBytes(16)),
    generation: 0,
  };
}

function check(meta: Meta, { databaseId }: OpeningOptions): void {
  if (meta.format === FORMAT && meta.databaseId === databaseId) return;
  throw new StoreError(
    'STORE_VERSION',
    `the store holds database ${meta.databaseId} in format ${meta.format}, not ${databaseId} in format ${FORMAT}`,
  );
}

/**
 * What was written in memory, while the store could not be read, becomes part of the replica that has
 * turned up: as of now, and by its site. Nobody has been told of it.
 * @param clock that of the site
 */
export function adopt(
  log: StoreLog,
  siteId: string,
  clock: SiteClock,
  entries: ReadonlyMap<string, StoredValue>,
  tab: number | undefined,
): void {
  for (const [key, value] of entries) {
    const { seen } = value as Meta;
    if (key === META && seen !== undefined) clock.observe(seen);
    if (key.startsWith(OUT)) clock.observe(key.slice(OUT.length));
  }
  log.replace((operation) => {
    if (operation.type !== 'put' || !operation.key.startsWith(OUT)) return operation;
    const value = dated({ ...(operation.value as ChangeSet), siteId }, clock.next(tab));
    return entryOf(OUT + value.hlc, value);
  });
}
