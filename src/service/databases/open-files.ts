/** How many files this process may open, and how many databases and connections that allows. */

import { readFileSync } from 'node:fs';
import { codeOf } from '../../errors/sync-error.ts';
import type { Logger } from '../../logging/logger.ts';

/** The kernel's limit; `undefined` if it cannot be read, or is unlimited. */
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
  /** The files of one open database. */
  filesPerDatabase: number | undefined;
  filesMax: number | undefined;
  logger: Pick<Logger, 'warn'>;
}

/** The process's own files: event loop, code, standard streams and the port. */
const OWN_FILES = 32;
/**
 * More than one, since new connections are open until it is decided which connection makes room.
 */
const FILES_PER_CONNECTION = 1.25;
/** Below this many the operator is warned. */
const FEW_CONNECTIONS = 1000;

/** How many databases may be open. They get half of all files, the rest is for sockets. */
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
  /** The files of as many databases as may be open. */
  databaseFiles: number;
  filesMax: number | undefined;
  logger: Pick<Logger, 'warn'>;
}

/**
 * How many connections there may be. Files are left for the databases and for new connections:
 * without a free file the server cannot even accept a connection to decide which one makes room.
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

/**
 * Whether an operation failed because too many files are open, in this process or on the machine.
 */
export function isOutOfFiles(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = codeOf(cause);
    if (code === 'EMFILE' || code === 'ENFILE') return true;
    // LevelDB has no error code for it.
    if (/too many open files/i.test(cause.message)) return true;
  }
  return false;
}
