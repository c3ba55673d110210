/**
 * One process per data directory. Kernel locks say so, because they go with the
 * process however that ends; the file beside them says who has it.
 *
 *     <directory>/_coordinator/       a LevelDB: the process that has it open has the directory
 *     <directory>/_coordinator/held   locked as well, in a way that a copy of the directory leaves alone
 *     <directory>/_coordinator.json   who has it; see `holder.ts`
 *     <directory>/db-<id>/held        locked while that database is open, also where the others were deleted
 *
 * Who has it looks again and again whether it still is its own: files are deleted and directories moved
 * under a running server.
 */

import { constants } from 'node:fs';
import { access, mkdir, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { SyncError } from '../../errors/sync-error.ts';
import { systemCause } from '../../errors/system-causes.ts';
import { createLogger } from '../../logging/logger.ts';
import { type FileLock, isLocked, lockFile } from './file-lock.ts';
import { currentHolder, isHolding, readHolder } from './holder.ts';
import { DIRECTORY_MODE, FILE_MODE, findOpenDirectory } from './modes.ts';

const logger = createLogger('sync-coordinator:storage');

export interface DataDirectory {
  /** Absolute, without symbolic links. */
  readonly path: string;
  /** Set once its lock was deleted, or the directory moved: another process may have it now. */
  readonly loss: SyncError | undefined;
  /** Looks now, and not only when its time has come. Calls `onLoss` if need be. */
  look(): void;
  /** Leaves alone what is in the directory once that is lost. */
  release(): Promise<void>;
}

export interface DataDirectoryOptions {
  /** Refuses a directory that does not exist, instead of creating it. */
  existing?: boolean;
  /** Called once, as soon as the loss is seen. */
  onLoss?(): void;
}

const LOOK_EVERY_MS = 1000;
/** In the directory of a database. */
export const DATABASE_LOCK = 'held';

/** Takes the lock. Fails with `STORE_LOCKED` if another process has it. */
export type TakeLock = (location: string) => Promise<{ close(): Promise<void> }>;

/**
 * The directories that this process holds. The kernel's lock belongs to the process, so it would
 * not stop this process from taking one twice, and closing the second would release the first.
 */
const heldDirectories = new Set<string>();

/** @throws SyncError STORE_LOCKED, STORE_UNAVAILABLE */
export async function acquireDataDirectory(
  directory: string,
  takeLock: TakeLock,
  { existing = false, onLoss = () => {} }: DataDirectoryOptions = {},
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
  const undo: (() => unknown)[] = [() => heldDirectories.delete(location)];
  async function release(): Promise<void> {
    const faults: unknown[] = [];
    for (const step of undo.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        faults.push(error);
      }
    }
    if (faults.length > 0) throw faults[0];
  }
  try {
    await warnIfOpen(location);
    const lockDirectory = path.join(location, '_coordinator');
    await mkdir(lockDirectory, { recursive: true, mode: DIRECTORY_MODE });
    const held = lockFile(path.join(lockDirectory, 'held'));
    if (held === undefined) throw inUse();
    undo.push(held.release);
    if (await hasLockedDatabase(location)) throw inUse();
    const lock = await takeLock(lockDirectory);
    undo.push(() => lock.close());
    const before = readHolder(holderFile);
    if (before !== undefined && isHolding(before, location)) throw inUse();
    const holder = JSON.stringify(currentHolder(location));
    await writeFile(holderFile, `${holder}\n`, { mode: FILE_MODE });
    const watch = new LossWatch(location, held, onLoss);
    undo.push(() => (watch.end() ? undefined : rm(holderFile, { force: true })));
    return {
      path: location,
      get loss() {
        return watch.loss;
      },
      look: () => watch.look(),
      release,
    };
  } catch (error) {
    await release();
    if (error instanceof SyncError && error.code === 'STORE_LOCKED') {
      throw lockedByOther(location, holderFile, error);
    }
    throw cannotUse(location, error);
  }
}

class LossWatch {
  loss: SyncError | undefined;
  readonly #location: string;
  readonly #lock: FileLock;
  readonly #onLoss: () => void;
  readonly #timer: NodeJS.Timeout;

  constructor(location: string, lock: FileLock, onLoss: () => void) {
    this.#location = location;
    this.#lock = lock;
    this.#onLoss = onLoss;
    this.#timer = setInterval(() => this.look(), LOOK_EVERY_MS).unref();
  }

  look(): void {
    if (this.loss !== undefined || !isGone(this.#lock)) return;
    this.loss = new SyncError('STORE_LOCKED', 'the data directory is not this server’s any more');
    clearInterval(this.#timer);
    const text =
      'the data directory %s was moved, or its lock deleted, while this server had it: ' +
      'it has closed its stores and refuses everything (STORE_LOCKED) until it is started anew';
    logger.error(text, this.#location);
    this.#onLoss();
  }

  /** @returns whether it was lost */
  end(): boolean {
    this.look();
    clearInterval(this.#timer);
    return this.loss !== undefined;
  }
}

/** Whether that is certain: a disk that does not answer is no loss. */
export function isGone(lock: FileLock): boolean {
  try {
    return lock.isLost();
  } catch {
    return false;
  }
}

/** Where the lock of the directory was deleted, the process that has it still has those. */
async function hasLockedDatabase(location: string): Promise<boolean> {
  const names = (await readdir(location)).filter((name) => name.startsWith('db-'));
  return names.some((name) => isLocked(path.join(location, name, DATABASE_LOCK)));
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
  const cause = error instanceof SyncError ? (error.cause ?? error) : error;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const advice = systemCause(error) ?? 'it must be a directory that this process may write to';
  return new SyncError(
    'STORE_UNAVAILABLE',
    `the data directory ${directory} cannot be used, ${advice} (${reason})`,
    { cause: error },
  );
}

function lockedByOther(directory: string, holderFile: string, cause: SyncError): SyncError {
  const holder = readHolder(holderFile);
  const who =
    // The holder may have taken the lock a moment ago, and not have written the file yet.
    holder === undefined
      ? 'another process'
      : `process ${holder.pid} on ${holder.hostname}, since ${holder.startedAt}`;
  return new SyncError(
    'STORE_LOCKED',
    `the data directory ${directory} is in use by ${who}: stop that process, or give this one ` +
      'a directory of its own',
    { cause },
  );
}

const inUse = () => new SyncError('STORE_LOCKED', 'this data directory is in use');
