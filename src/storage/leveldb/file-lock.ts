/**
 * A lock on an open file, which ends when that is closed, however the process ends. LevelDB's own lock
 * belongs to the process: a hook that copies the directory opens and closes LevelDB's lock file, and so
 * releases the lock without a word. This one outlives that. The kernel keeps both, so they hold between
 * containers that share a volume as well. No lock outlives the file's name: another file of that name has
 * a lock of its own, so whoever has one looks whether its file is still there.
 */

import { closeSync, openSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { codeOf } from '../../errors/sync-error.ts';
import { FILE_MODE } from './modes.ts';

type TryLock = (fd: number, options: { shared: boolean }) => boolean;

export interface FileLock {
  /** Whether the file was deleted or moved, or one of the directories above it: a system call, about 2 µs. */
  isLost(): boolean;
  release(): void;
}

/** Of file systems and kernels that don't have it. */
const UNKNOWN_CODES = new Set(['EINVAL', 'ENOLCK', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP']);

/** `undefined` where there is no build of the addon, as with musl. */
function loadTryLock(): TryLock | undefined {
  // On Windows LevelDB's own lock is of this kind, and a locked file could not be copied.
  if (process.platform === 'win32') return undefined;
  try {
    const addon: unknown = createRequire(import.meta.url)('fs-native-extensions');
    if (typeof addon !== 'object' || addon === null || !('tryLock' in addon)) return undefined;
    const { tryLock } = addon;
    return typeof tryLock === 'function'
      ? (fd, options) => tryLock(fd, options) === true
      : undefined;
  } catch {
    return undefined;
  }
}

/** Whether nobody else has a lock that excludes it; also where nobody can tell. */
function isLockable(fd: number, options: { shared: boolean }): boolean {
  try {
    return loadTryLock()?.(fd, options) ?? true;
  } catch (error) {
    if (UNKNOWN_CODES.has(codeOf(error) ?? '')) return true;
    throw error;
  }
}

/**
 * Takes it, making the file if need be, which is then to stay: another one would be another lock.
 * @returns `undefined` where another process, or this one, has it
 */
export function lockFile(file: string): FileLock | undefined {
  let fd: number | undefined = openSync(file, 'a', FILE_MODE);
  function release(): void {
    if (fd !== undefined) closeSync(fd);
    fd = undefined;
  }
  try {
    if (isLockable(fd, { shared: false })) {
      // While it is open no other file gets its inode.
      const locked = identify(file);
      return { isLost: () => identify(file) !== locked, release };
    }
  } catch (error) {
    release();
    throw error;
  }
  release();
  return undefined;
}

/** Whether somebody has the lock. Neither makes nor changes the file. */
export function isLocked(file: string): boolean {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return false;
    throw error;
  }
  try {
    return !isLockable(fd, { shared: true });
  } finally {
    closeSync(fd);
  }
}

/** `undefined` where there is none. */
function identify(file: string): string | undefined {
  const found = statSync(file, { throwIfNoEntry: false });
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}
