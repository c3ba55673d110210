/** A file that is only appended to, and that nobody else should touch. */

import { open, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { StoreError } from './store.ts';

/** What is used of Node's: the types of this package need none of its. */
interface Handle {
  stat(): Promise<{ size: number; ino: number; dev: number; nlink: number }>;
  truncate(bytes: number): Promise<void>;
  write(
    data: Uint8Array,
    from: number,
    bytes: number,
    at: number,
  ): Promise<{ bytesWritten: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface OpenFile {
  handle: Handle;
  /** The end of what counts. Behind it there may be the rest of a batch that failed. */
  bytes: number;
  isTorn: boolean;
}

export async function append(file: OpenFile, data: Uint8Array): Promise<void> {
  const { handle } = file;
  if (file.isTorn) await handle.truncate(file.bytes);
  file.isTorn = true;
  for (let written = 0; written < data.length; ) {
    const rest = data.length - written;
    written += (await handle.write(data, written, rest, file.bytes + written)).bytesWritten;
  }
  await handle.sync();
  file.bytes += data.length;
  file.isTorn = false;
}

/**
 * Throws when somebody has deleted it, put another one in its place, or written into it. Locks don't tell
 * all: two containers that share a directory have one each.
 */
export async function mustBeAsLeft(file: OpenFile, path: string): Promise<void> {
  const own = await file.handle.stat();
  const there = await orNothing(stat(path));
  const isSame = there !== undefined && there.ino === own.ino && there.dev === own.dev;
  if (isSame && (file.isTorn ? own.size >= file.bytes : own.size === file.bytes)) return;
  throw new StoreError('STORE_DAMAGED', 'somebody else has deleted, moved or written it');
}

/** Where a path leads, whether or not the file is there; its directory is. */
export async function realFile(path: string): Promise<string> {
  return (await orNothing(realpath(path))) ?? join(await realpath(dirname(path)), basename(path));
}

export function readOrNothing(path: string): Promise<Uint8Array | undefined> {
  return orNothing(readFile(path));
}

async function orNothing<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined;
    throw cause;
  }
}

/** A new name in a directory outlives a loss of power only after this. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(dirname(path), 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function codeOf(cause: unknown): unknown {
  return cause instanceof Error && 'code' in cause ? cause.code : undefined;
}
