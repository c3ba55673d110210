/**
 * A lock on an open file, which ends when that is closed, however the process ends. LevelDB's own lock
 * belongs to the process: a hook that copies the directory opens and closes LevelDB's lock file, and so
 * releases the lock without a word. This one outlives that. The kernel keeps both, so they hold between
 * containers that share a volume as well.
 */

import { closeSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { codeOf } from '../../errors/sync-error.ts';
import { FILE_MODE } from './modes.ts';

type TryLock = (fd: number) => boolean;

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
    return typeof tryLock === 'function' ? (fd) => tryLock(fd) === true : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Takes it, making the file if need be, which is then to stay: another one would be another lock.
 * @returns what lets go of it; `undefined` where another process, or this one, has it
 */
export function lockFile(file: string): (() => void) | undefined {
  const tryLock = loadTryLock();
  if (tryLock === undefined) return () => undefined;
  const fd = openSync(file, 'a', FILE_MODE);
  try {
    if (tryLock(fd)) return () => closeSync(fd);
  } catch (error) {
    if (UNKNOWN_CODES.has(codeOf(error) ?? '')) return () => closeSync(fd);
    closeSync(fd);
    throw error;
  }
  closeSync(fd);
  return undefined;
}
