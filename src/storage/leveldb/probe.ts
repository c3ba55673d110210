/**
 * Whether the data directory takes writes, which a disk that is full, or has become read-only, does not: a
 * block is written to a file of its own and given back.
 */

import { rm, writeFile } from 'node:fs/promises';
import { SyncError } from '../../errors/sync-error.ts';
import { systemCause } from '../../errors/system-causes.ts';
import type { StorageHealth } from '../kv-store.ts';
import { FILE_MODE } from './modes.ts';

/** Of the file systems that there are: less may find room in a block that is there already. */
const BLOCK = Buffer.alloc(4096);
/** Reads and writes of all databases may be before it, which is no fault. */
const ANSWER_MS = 500;
const HANGS_MS = 10_000;

/** @param loss why the directory is not to be written to */
export function createProbe(file: string, loss: () => SyncError | undefined): StorageHealth {
  let running: Promise<void> | undefined;
  let startedAt = 0;
  let last: SyncError | undefined;

  async function write(): Promise<void> {
    try {
      await writeFile(file, BLOCK, { mode: FILE_MODE });
      last = undefined;
    } catch (cause) {
      last = unwritable(cause);
    }
    // What an attempt without success has left would make room for the next one.
    await rm(file, { force: true }).catch(() => undefined);
    running = undefined;
  }

  async function check(): Promise<void> {
    const lost = loss();
    if (lost !== undefined) throw lost;
    if (running === undefined) {
      startedAt = performance.now();
      running = write();
    }
    let timer: NodeJS.Timeout | undefined;
    const overdue = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ANSWER_MS);
    });
    await Promise.race([running, overdue]);
    clearTimeout(timer);
    if (last !== undefined) throw last;
    if (running !== undefined && performance.now() - startedAt > HANGS_MS) {
      throw new SyncError('STORE_UNAVAILABLE', 'the disk does not answer');
    }
  }

  return { check, figures: () => ({}) };
}

function unwritable(cause: unknown): SyncError {
  const reason = systemCause(cause) ?? 'the data directory takes no writes';
  return new SyncError('STORE_UNAVAILABLE', reason, { cause });
}
