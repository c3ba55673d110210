/**
 * A lock on a path: a socket that is named after it. The system lets go of it when the process ends,
 * however that comes about.
 */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What holds a lock until it is closed. */
export interface PathLock {
  close(done: () => void): unknown;
}

/**
 * @param path a real one, as `realFile` gives it: what links lead to has one lock
 * @param platform the names of Linux and Windows leave nothing behind
 * @throws Error with the code `EADDRINUSE` when somebody has it
 */
export async function lockPath(path: string, platform = process.platform): Promise<PathLock> {
  const id = createHash('sha256').update(path).digest('hex').slice(0, 32);
  const name = `sync-coordinator-${id}`;
  if (platform === 'linux') return listen(`\0${name}`);
  if (platform === 'win32') return listen(`\\\\.\\pipe\\${name}`);
  const socketPath = join(tmpdir(), name);
  try {
    return await listen(socketPath);
  } catch (cause) {
    if (await answers(socketPath)) throw cause;
    // Left by a process that was killed.
    await rm(socketPath, { force: true });
    return listen(socketPath);
  }
}

async function listen(name: string): Promise<PathLock> {
  const server = createServer((socket) => socket.destroy()).listen(name);
  await once(server, 'listening');
  return server.unref();
}

async function answers(socketPath: string): Promise<boolean> {
  const socket = connect(socketPath);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
