/** What is on the disk is its owner's: nobody else of the machine may read it. */

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLevelStorage } from '../../src/storage/leveldb/leveldb.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { runProcess } from '../cli/run-process.ts';
import { startChildServer } from '../support/child-server.ts';
import { startServer, temporaryDirectory } from '../support/server.ts';

const OTHERS = 0o077;

/** Everything below a directory that others may do something with, with its mode. */
function openBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true })
    .map(String)
    .map((name) => ({ name, mode: statSync(join(directory, name)).mode & 0o777 }))
    .filter(({ mode }) => (mode & OTHERS) !== 0)
    .map(({ name, mode }) => `${name}: ${mode.toString(8)}`);
}

const HOOKS = `export default {
  auth: { mode: 'none' },
  hooks: [
    ['sync-coordinator/hooks/audit-log', { file: './made/audit/audit.log' }],
    [
      'sync-coordinator/hooks/webhook',
      { url: 'http://127.0.0.1:9/', secret: '${'x'.repeat(32)}', directory: './made/queue' },
    ],
  ],
};`;

test('the command makes no file that others may read, whatever the umask', async (t) => {
  const cwd = temporaryDirectory();
  mkdirSync(join(cwd, 'made'), { mode: 0o700 });
  writeFileSync(join(cwd, 'sync-coordinator.config.mjs'), HOOKS, { mode: 0o600 });
  const server = await startChildServer(t, {
    dataDir: cwd,
    before: 'umask 0;',
    args: ['--data-dir', './made/data'],
  });
  const device = new Device(1);
  const client = await TestClient.join(server.wsUrl, device, t);
  await client.apply(device.write({ pk: [1], set: { a: 1 } }));
  await server.kill('SIGTERM');
  const options = { cwd };
  const args = ['export', 'default', '--data-dir', './made/data', '--output', './made/file'];
  assert.equal((await runProcess(t, args, options)).code, 0);
  for (const name of ['data/db-default', 'audit/audit.log', 'queue', 'file']) {
    statSync(join(cwd, 'made', name));
  }
  assert.deepEqual(openBelow(cwd), []);
});

test('in a program of its own others stay out of the directories', async (t) => {
  const umask = process.umask(0);
  t.after(() => process.umask(umask));
  const dataDir = join(temporaryDirectory(), 'deep', 'data');
  const server = await startServer(t, { config: { dataDir } });
  await TestClient.join(server.wsUrl, new Device(1), t);
  // LevelDB makes its files as the umask says.
  const open = openBelow(join(dataDir, '..')).filter(
    (name) => !/^data\/(?:db-|_c)\w+\//.test(name),
  );
  assert.deepEqual(open, []);
  assert.equal(statSync(dataDir).mode & 0o777, 0o700);
});

test('databases that others may read already are named at the start, and left so', async (t) => {
  const dataDir = temporaryDirectory();
  const storage = await createLevelStorage({ directory: dataDir, durability: 'os' });
  await (await storage.open('default')).close();
  await storage.close();
  const database = join(dataDir, 'db-default');
  chmodSync(dataDir, 0o755);
  const closed = await startChildServer(t, { dataDir });
  await closed.kill('SIGTERM');
  assert.doesNotMatch(closed.output(), /every user/, 'nobody gets into the databases');
  chmodSync(database, 0o755);
  const server = await startChildServer(t, { dataDir });
  await server.kill('SIGTERM');
  const warning = `storage:warn every user of this machine may read what is in ${database}: chmod -R go-rwx ${dataDir}`;
  assert.ok(server.output().includes(warning), server.output());
  assert.equal(statSync(database).mode & 0o777, 0o755);
});

test('init keeps the configuration with its token to its owner', async (t) => {
  const cwd = temporaryDirectory();
  assert.equal((await runProcess(t, ['init', '--yes'], { cwd })).code, 0);
  assert.equal(statSync(join(cwd, 'sync-coordinator.config.ts')).mode & 0o777, 0o600);
  const without = temporaryDirectory();
  const args = ['init', '--yes', '--auth-mode', 'none'];
  assert.equal((await runProcess(t, args, { cwd: without })).code, 0);
  const usual = 0o666 & ~process.umask();
  assert.equal(statSync(join(without, 'sync-coordinator.config.ts')).mode & 0o777, usual);
});
