/** Which databases of which storage a command is about. */

import path from 'node:path';
import type { CoordinatorConfig } from '../config/schema.ts';
import type { StorageModuleOptions } from '../storage/by-address/open-storage.ts';
import { isDatabaseId } from '../storage/database-id.ts';
import type { Storage } from '../storage/kv-store.ts';

/** As the server would open it. */
export function storageOptions(
  { storage: { durability }, dataDir }: CoordinatorConfig,
  cwd: string,
): StorageModuleOptions {
  return { durability, cwd, dataDir: path.resolve(cwd, dataDir) };
}

/** A storage by its URL: the configured one with where its package is looked for. */
export function namedStorage(
  { storage }: CoordinatorConfig,
  url: string,
): { url: string; from?: string } {
  return url === storage.url ? storage : { url };
}

/**
 * @param name one database, or all that are there
 * @throws Error if it isn't there, as far as the storage can tell
 */
export async function databasesOf(storage: Storage, name: string | undefined): Promise<string[]> {
  const ids = await storage.list?.();
  if (name === undefined) {
    if (ids === undefined) throw new Error('this storage does not list its databases: name one');
    if (ids.length === 0) process.stdout.write('there are no databases\n');
    return ids.sort();
  }
  if (ids !== undefined && !ids.includes(name) && isShown(name)) {
    throw new Error(`there is no database ${name}: ${storage.description}`);
  }
  return [name];
}

/** Of a very long id the directory holds a hash, so that it isn't listed under its name. */
function isShown(name: string): boolean {
  return name.length < 60 || !isDatabaseId(name);
}
