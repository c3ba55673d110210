/** Through a PgBouncer, which has to be on the path: `npm run test:pooler`, no part of `npm run proof`. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { createDir } from '../../config/temp-dir.ts';
import { freePort } from '../../support/free-port.ts';
import {
  openPostgres,
  POSTGRES_PASSWORD,
  POSTGRES_USER,
  startPostgres,
} from '../../support/postgres.ts';

const IGNORED =
  'ignore_startup_parameters = options,statement_timeout,idle_in_transaction_session_timeout';
/** Those of PgBouncer may be more than what starts it has. */
const READY = /process up/;

const postgres = await startPostgres();
after(() => postgres.stop());

/** @returns the URL of a PgBouncer before it, which Debian has as a package */
async function startBouncer(t: TestContext, ...lines: string[]): Promise<string> {
  const port = await freePort();
  const cwd = createDir(t);
  const users = join(cwd, 'users.txt');
  const config = join(cwd, 'pgbouncer.ini');
  writeFileSync(users, `"${POSTGRES_USER}" "${POSTGRES_PASSWORD}"\n`);
  writeFileSync(
    config,
    [
      ...['[databases]', `* = host=127.0.0.1 port=${postgres.port}`, '[pgbouncer]'],
      ...['listen_addr = 127.0.0.1', `listen_port = ${port}`, 'unix_socket_dir ='],
      ...['auth_type = plain', `auth_file = ${users}`, ...lines, ''],
    ].join('\n'),
  );
  // It runs as nobody where this process is root, which it refuses to be.
  for (const file of [cwd, users, config]) chmodSync(file, 0o755);
  const asUser = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  const child = spawn('pgbouncer', [...asUser, config], { stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  while (!READY.test(said)) said += (await once(child.stderr, 'data'))[0];
  child.stderr.resume();
  return postgres.url().replace(`:${postgres.port}/`, `:${port}/`);
}

test('a pooler that keeps sessions is used', async (t) => {
  const storage = await openPostgres(await startBouncer(t, 'pool_mode = session', IGNORED));
  t.after(() => storage.close());
  const store = await storage.open('one');
  await store.exclusive(async (transaction) => {
    transaction.put(Buffer.from('key'), Buffer.from('value'));
  });
});

test('one that lends them for a transaction or a statement is refused, with what to set', async (t) => {
  for (const mode of ['transaction', 'statement']) {
    const url = await startBouncer(t, `pool_mode = ${mode}`, IGNORED);
    await assert.rejects(openPostgres(url), {
      code: 'STORE_UNAVAILABLE',
      message: /^storage\.url names .*pooler.* set pool_mode = session \(PgBouncer\)/,
    });
  }
});

test('one that refuses our settings is not taken for one that does not answer', async (t) => {
  for (const mode of ['session', 'transaction', 'statement']) {
    await assert.rejects(openPostgres(await startBouncer(t, `pool_mode = ${mode}`)), {
      code: 'STORE_UNAVAILABLE',
      message:
        /^storage\.url names .*pooler.* ignore_startup_parameters = options,statement_timeout/,
    });
  }
});
