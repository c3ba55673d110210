/**
 * Opens the storage that a configuration names: `memory:`, `leveldb:<directory>`, `postgres://…`,
 * or a module that makes one.
 */

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConfigError } from '../../errors/config-error.ts';
import { createLogger, type Logger } from '../../logging/logger.ts';
import { importModule } from '../../modules/import-module.ts';
import type { Storage } from '../kv-store.ts';
import { createLevelStorage } from '../leveldb/leveldb.ts';
import { createMemoryStorage } from '../memory.ts';
import { parsePostgresUrl } from '../postgres/address.ts';

export interface StorageConfig {
  /** `memory:`, `leveldb:<directory>`, `postgres://…`, or a module's path, `file:` URL or package name. */
  url: string;
  /** The directory from which a package is resolved. Default: where relative paths start. */
  from?: string | undefined;
  durability: 'fsync' | 'os';
  /** Passed to a module. */
  dataDir: string;
}

/** The options of a storage module's default export, `(options) => Storage | Promise<Storage>`. */
export interface StorageModuleOptions {
  /** See `storage.durability`: whether a commit is on the disk when its promise resolves. */
  durability: 'fsync' | 'os';
  /** Where relative paths start. */
  cwd: string;
  /** Logs to the `debug` namespace `sync-coordinator:storage`, with `:warn` and `:error` below it. */
  logger?: Logger;
  /**
   * The configured `dataDir`, absolute, for a storage that keeps its data in files. May not exist
   * yet.
   */
  dataDir: string;
  /** Create nothing: neither directories or schemas nor databases. */
  existing?: boolean;
  /**
   * With `existing`: until it is closed, no other process may write to it or serve it. Refused with
   * STORE_LOCKED if one does. A storage that is never shared can ignore this.
   */
  alone?: boolean;
}

const storageLogger = createLogger('sync-coordinator:storage');

type OpenStorage = (options: StorageModuleOptions) => Storage | Promise<Storage>;
type FindStorage = (rest: string, cwd: string) => OpenStorage | Promise<OpenStorage>;

const FIND_BY_SCHEME = new Map<string, FindStorage>([
  ['memory', () => () => createMemoryStorage()],
  ['leveldb', findLevel],
  ['file', (rest, cwd) => findModule(fileURLToPath(`file:${rest}`), cwd)],
  ['postgres', (rest) => findPostgres(`postgres:${rest}`)],
  ['postgresql', (rest) => findPostgres(`postgresql:${rest}`)],
]);

const KNOWN = 'memory:, leveldb:<directory>, postgres://…, or the path or package name of a module';

/**
 * Opens the storage that a URL names, as the configuration does.
 * @param cwd where relative paths start
 * @throws ConfigError; SyncError STORE_UNAVAILABLE, STORE_LOCKED. Their messages are for the operator
 */
export async function openStorage(
  { url, from, durability, dataDir }: StorageConfig,
  cwd: string = process.cwd(),
): Promise<Storage> {
  const open = await findStorage({ url, from }, cwd);
  return open({ durability, cwd, dataDir: path.resolve(cwd, dataDir) });
}

/**
 * Finds the storage of a URL, without opening it.
 * @param cwd where relative paths start
 * @param source where the URL comes from, for the message
 * @throws ConfigError
 */
export async function findStorage(
  { url, from }: Pick<StorageConfig, 'url' | 'from'>,
  cwd: string,
  source = 'config',
): Promise<OpenStorage> {
  try {
    // A scheme has two letters at least: `C:\storage.js` is a path.
    const [, scheme, rest = ''] = /^([a-z][a-z0-9+.-]+):(.*)$/is.exec(url) ?? [];
    if (scheme === undefined) return await findModule(url, from ?? cwd);
    const find = FIND_BY_SCHEME.get(scheme.toLowerCase());
    // The message has only the scheme: the rest may hold a password.
    if (find === undefined)
      throw refused(`names an unknown storage, ${scheme}: (known are ${KNOWN})`);
    return await find(rest, cwd);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const faults = error.faults.map((fault) => ({ ...fault, source }));
    throw new ConfigError(faults, { cause: error.cause });
  }
}

function findLevel(directory: string): OpenStorage {
  if (directory === '') throw refused('names no directory: leveldb:./data');
  return ({ cwd, durability, existing }) =>
    createLevelStorage({ directory: path.resolve(cwd, directory), durability, existing });
}

function findPostgres(url: string): OpenStorage {
  const address = parsePostgresUrl(url);
  return async ({ logger = storageLogger, existing, alone }) => {
    // With its driver, which a server without it starts sooner without.
    const { createPostgresStorage } = await import('../postgres/postgres.ts');
    return createPostgresStorage({ address, logger, existing, alone });
  };
}

async function findModule(specifier: string, cwd: string): Promise<OpenStorage> {
  if (specifier === '') throw refused(`is empty (known are ${KNOWN})`);
  const { module, url } = await importModule(specifier, cwd).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw refused(`cannot be loaded: ${reason} (known are ${KNOWN})`, error);
  });
  const createStorage = module.default;
  if (typeof createStorage !== 'function') {
    throw refused(`names ${url}, whose default export is not a function that makes a storage`);
  }
  return async (options) => {
    const storage: unknown = await createStorage({ logger: storageLogger, ...options });
    if (isStorage(storage)) return storage;
    throw refused(`names ${url}, which made no storage (description, open and close)`);
  };
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

function refused(expected: string, cause?: unknown): ConfigError {
  const fault = { source: 'config', name: 'storage.url', value: undefined, expected };
  return new ConfigError([fault], { cause });
}
