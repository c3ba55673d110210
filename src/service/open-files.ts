/** How many files this process may have open, and for how many databases and connections that is enough. */

import { readFileSync } from 'node:fs';
import { codeOf } from '../errors/sync-error.ts';
import type { Logger } from '../logging/logger.ts';

/** As the kernel has it; `undefined` where that cannot be read, or is without end. */
export function openFilesMax(): number | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const soft = /^Max open files +(\d+)/m.exec(limits)?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

export interface DatabaseFiles {
  /** `storage.maxOpenDatabases` */
  wanted: number;
  /** Of one open database. */
  filesPerDatabase: number | undefined;
  filesMax: number | undefined;
  logger: Pick<Logger, 'warn'>;
}

/** What the process itself has open: its event loop, code, standard streams and the port. */
const OWN_FILES = 32;
/** So many files a connection: some are open while it is seen which one makes room. */
const FILES_PER_CONNECTION = 1.25;
/** Fewer than an operator may take for granted. */
const FEW_CONNECTIONS = 1000;

/** How many databases may be open: half of all files are left to sockets and the rest. */
export function databasesThatFit({
  wanted,
  filesPerDatabase = 0,
  filesMax = Number.POSITIVE_INFINITY,
  logger,
}: DatabaseFiles): number {
  if (filesPerDatabase === 0) return wanted;
  const fit = Math.max(1, Math.floor(filesMax / 2 / filesPerDatabase));
  if (fit >= wanted) return wanted;
  logger.warn(
    'this process may open %d files (ulimit -n): %d databases at once instead of ' +
      'storage.maxOpenDatabases (%d), which takes %d files and as many for sockets',
    filesMax,
    fit,
    wanted,
    wanted * filesPerDatabase,
  );
  return fit;
}

export interface ConnectionFiles {
  /** `limits.connections` */
  wanted: number;
  /** Of the databases that may be open. */
  databaseFiles: number;
  filesMax: number | undefined;
  logger: Pick<Logger, 'warn'>;
}

/**
 * How many connections there may be, so that the databases and whoever comes next still get their files:
 * once none is left, nobody is accepted to see who could make room.
 */
export function connectionsThatFit({
  wanted,
  databaseFiles,
  filesMax = Number.POSITIVE_INFINITY,
  logger,
}: ConnectionFiles): number {
  const files = filesMax - OWN_FILES - databaseFiles;
  const fit = Math.max(1, Math.floor(files / FILES_PER_CONNECTION));
  if (fit >= wanted) return wanted;
  if (fit < FEW_CONNECTIONS) {
    logger.warn(
      'this process may open %d files (ulimit -n): %d connections at once instead of limits.connections (%d)',
      filesMax,
      fit,
      wanted,
    );
  }
  return fit;
}

/** Whether something failed because too many files are open, here or on the whole machine. */
export function isOutOfFiles(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = codeOf(cause);
    if (code === 'EMFILE' || code === 'ENFILE') return true;
    // LevelDB has no code for it.
    if (/too many open files/i.test(cause.message)) return true;
  }
  return false;
}
