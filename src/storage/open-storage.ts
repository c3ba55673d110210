/**
 * The storage that a configuration names: `memory:`, `leveldb:<directory>`, or a
 * module that makes one.
 */

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConfigError } from '../config/config-error.ts';
import { importModule } from '../config/import-module.ts';
import type { Storage } from './kv-store.ts';
import { createLevelStorage } from './leveldb.ts';
import { createMemoryStorage } from './memory.ts';

export interface StorageConfig {
  /** `memory:`, `leveldb:<directory>`, or a module's path, `file:` URL or package name. */
  url: string;
  durability: 'fsync' | 'os';
}

/** What a storage module's default export, `(options) => Storage | Promise<Storage>`, is given. */
export interface StorageModuleOptions {
  /** See `storage.durability`: whether a commit is on the disk when its promise resolves. */
  durability: 'fsync' | 'os';
  /** Where relative paths start. */
  cwd: string;
}

type OpenStorage = (rest: string, options: StorageModuleOptions) => Storage | Promise<Storage>;

const OPEN_BY_SCHEME = new Map<string, OpenStorage>([
  ['memory', () => createMemoryStorage()],
  ['leveldb', openLevel],
  ['file', (rest, options) => openModule(fileURLToPath(`file:${rest}`), options)],
  ['postgres', notInThisVersion],
  ['postgresql', notInThisVersion],
]);

const KNOWN = 'memory:, leveldb:<directory>, or the path or package name of a module';

/**
 * @param cwd where relative paths start
 * @throws ConfigError; SyncError STORE_UNAVAILABLE, STORE_LOCKED. Their messages are for the operator
 */
export async function openStorage(
  config: StorageConfig,
  cwd: string = process.cwd(),
): Promise<Storage> {
  const options = { durability: config.durability, cwd };
  // Two letters at least: `C:\storage.js` is a path.
  const [, scheme, rest = ''] = /^([a-z][a-z0-9+.-]+):(.*)$/is.exec(config.url) ?? [];
  if (scheme === undefined) return openModule(config.url, options);
  const open = OPEN_BY_SCHEME.get(scheme.toLowerCase());
  // Only the scheme: the rest may hold a password.
  if (open === undefined)
    throw refused(`names an unknown storage, ${scheme}: (known are ${KNOWN})`);
  return open(rest, options);
}

function openLevel(directory: string, { cwd, durability }: StorageModuleOptions): Promise<Storage> {
  if (directory === '') throw refused('names no directory: leveldb:./data');
  return createLevelStorage({ directory: path.resolve(cwd, directory), durability });
}

async function openModule(specifier: string, options: StorageModuleOptions): Promise<Storage> {
  if (specifier === '') throw refused(`is empty (known are ${KNOWN})`);
  const { module, url } = await importModule(specifier, options.cwd).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw refused(`cannot be loaded: ${reason} (known are ${KNOWN})`, error);
  });
  const createStorage = module.default;
  if (typeof createStorage !== 'function') {
    throw refused(`names ${url}, whose default export is not a function that makes a storage`);
  }
  const storage: unknown = await createStorage(options);
  if (!isStorage(storage)) {
    throw refused(`names ${url}, which made no storage (description, open and close)`);
  }
  return storage;
}

function isStorage(value: unknown): value is Storage {
  return (
    typeof value === 'object' &&
    value !== null &&
    'description' in value &&
    typeof value.description === 'string' &&
    'open' in value &&
    typeof value.open === 'function' &&
    'close' in value &&
    typeof value.close === 'function'
  );
}

function notInThisVersion(): never {
  throw refused(`names postgres:, which is not available in this version (known are ${KNOWN})`);
}

function refused(expected: string, cause?: unknown): ConfigError {
  const fault = { source: 'config', name: 'storage.url', value: undefined, expected };
  return new ConfigError([fault], { cause });
}
