/**
 * One process per data directory. A kernel lock says so, because it goes with the
 * process however that ends; the file beside it tells people who has it.
 *
 *     <directory>/_coordinator/       whoever has this open has the directory
 *     <directory>/_coordinator.json   {pid, hostname, startedAt}: informational
 */

import { constants } from 'node:fs';
import { access, mkdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { SyncError } from '../../errors/sync-error.ts';
import { createLogger } from '../../logging/logger.ts';
import { DIRECTORY_MODE, FILE_MODE, findOpenDirectory } from './modes.ts';

const logger = createLogger('sync-coordinator:storage');

export interface DataDirectory {
  /** Absolute, without symbolic links. */
  readonly path: string;
  release(): Promise<void>;
}

/** Takes the lock. Fails with `STORE_LOCKED` if another process has it. */
export type TakeLock = (location: string) => Promise<{ close(): Promise<void> }>;

/**
 * The directories that this process holds. The kernel's lock belongs to the process, so it would
 * not stop this process from taking one twice, and closing the second would release the first.
 */
const heldDirectories = new Set<string>();

/**
 * @param options.existing refuses a directory that does not exist, instead of creating it
 * @throws SyncError STORE_LOCKED, STORE_UNAVAILABLE
 */
export async function acquireDataDirectory(
  directory: string,
  takeLock: TakeLock,
  { existing = false } = {},
): Promise<DataDirectory> {
  const location = await createDirectory(path.resolve(directory), existing);
  if (heldDirectories.has(location)) {
    throw new SyncError(
      'STORE_LOCKED',
      `the data directory ${location} is in use by this very process (pid ${process.pid}): ` +
        'give each coordinator a directory of its own',
    );
  }
  heldDirectories.add(location);
  const holderFile = path.join(location, '_coordinator.json');
  try {
    await warnIfOpen(location);
    const lock = await takeLock(path.join(location, '_coordinator'));
    const holder = { pid: process.pid, hostname: hostname(), startedAt: new Date().toISOString() };
    await writeFile(holderFile, `${JSON.stringify(holder)}\n`, { mode: FILE_MODE }).catch(
      async (error) => {
        await lock.close();
        throw error;
      },
    );
    return {
      path: location,
      async release() {
        try {
          await rm(holderFile, { force: true });
        } finally {
          await lock.close();
          heldDirectories.delete(location);
        }
      },
    };
  } catch (error) {
    heldDirectories.delete(location);
    if (error instanceof SyncError && error.code === 'STORE_LOCKED') {
      throw await lockedByOther(location, holderFile, error);
    }
    throw cannotUse(location, error);
  }
}

async function createDirectory(directory: string, existing: boolean): Promise<string> {
  try {
    if (!existing) await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
    return await realpath(directory);
  } catch (error) {
    throw cannotUse(directory, error);
  }
}

async function warnIfOpen(location: string): Promise<void> {
  const open = await findOpenDirectory(location, 'db-');
  if (open === undefined) return;
  const remedy = `chmod -R go-rwx ${location}`;
  logger.warn('every user of this machine may read what is in %s: %s', open, remedy);
}

function cannotUse(directory: string, error: unknown): SyncError {
  const reason = error instanceof Error ? error.message : String(error);
  return new SyncError(
    'STORE_UNAVAILABLE',
    `the data directory ${directory} cannot be used: ${reason}. It must be a directory that this ` +
      'process may write to',
    { cause: error },
  );
}

async function lockedByOther(
  directory: string,
  holderFile: string,
  cause: SyncError,
): Promise<SyncError> {
  const holder = await readHolder(holderFile);
  return new SyncError(
    'STORE_LOCKED',
    `the data directory ${directory} is in use by ${holder}: stop that process, or give this one ` +
      'a directory of its own',
    { cause },
  );
}

async function readHolder(file: string): Promise<string> {
  try {
    const holder: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (typeof holder !== 'object' || holder === null) return 'another process';
    const {
      pid,
      hostname: host,
      startedAt,
    } = { pid: '?', hostname: '?', startedAt: '?', ...holder };
    return `process ${pid} on ${host}, since ${startedAt}`;
  } catch {
    // The holder may have taken the lock a moment ago, and not have written the file yet.
    return 'another process';
  }
}
