/** What is on the disk is its owner's: nobody else of the machine may read it. */

import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLevelStorage } from '../../src/storage/leveldb/leveldb.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { runProcess } from '../cli/run-process.ts';
import { startChildServer } from '../support/child-server.ts';
import { startServer, temporaryDirectory } from '../support/server.ts';

const OTHERS = 0o077;
/** No user of the machine that matters. */
const SOMEBODY = 65_534;

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
  assert.equal((await runProcess(t, ['init', './deep/app', '--yes'], { cwd })).code, 0);
  for (const made of ['hooks', 'deep', 'deep/app', 'deep/app/hooks']) {
    assert.equal(statSync(join(cwd, made)).mode & 0o777, 0o700, made);
  }
  const without = temporaryDirectory();
  const args = ['init', '--yes', '--auth-mode', 'none'];
  assert.equal((await runProcess(t, args, { cwd: without })).code, 0);
  const usual = 0o666 & ~process.umask();
  assert.equal(statSync(join(without, 'sync-coordinator.config.ts')).mode & 0o777, usual);
});

test('check and a start name each file with secrets that others may read', async (t) => {
  const cwd = temporaryDirectory();
  const file = (name: string, mode: number, text?: string) => {
    const path = join(cwd, name);
    if (text !== undefined) writeFileSync(path, text);
    chmodSync(path, mode);
    // To root others apply: see below.
    if (isRoot) chownSync(path, SOMEBODY, SOMEBODY);
    return path;
  };
  const isRoot = process.getuid?.() === 0;
  mkdirSync(join(cwd, 'conf'));
  const jwt = ['sync-coordinator/hooks/jwt', { secret: 'k'.repeat(32) }];
  const settings = {
    auth: { mode: 'token-whitelist', tokensFile: './tokens' },
    hooks: { modules: [jwt] },
  };
  const config = file('conf/config.json', 0o644, JSON.stringify(settings));
  const tokens = file('conf/tokens', 0o640, 'one\n');
  const beside = file('conf/.env', 0o660, 'SHOP_API_KEY=zebra\n');
  const own = file('.env', 0o604, 'SYNC_STORAGE=postgres://me:zebra@127.0.0.1/db\n');
  const warnings = async () => {
    const { code, stderr } = await runProcess(t, ['check', '--config', config], { cwd });
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stderr, /zebra|kkkk/);
    return stderr;
  };
  const all = await warnings();
  const expected = [
    `every user of this machine may read the secrets in ${config}: chmod go-rwx ${config}`,
    `the group of the file may read the secrets in ${beside}: chmod go-rwx ${beside}`,
    `every user of this machine may read the secrets in ${own}: chmod go-rwx ${own}`,
    `the group of the file may read the tokens in ${tokens}: chmod go-rwx ${tokens}`,
  ];
  for (const warning of expected) assert.ok(all.includes(warning), `${warning}\n\n${all}`);
  const args = ['--config', config];
  const server = await startChildServer(t, { dataDir: cwd, args });
  await server.kill('SIGTERM');
  for (const warning of expected.slice(0, 2)) assert.ok(server.output().includes(warning), warning);
  if (isRoot) {
    // As a service is given its secrets that must not change them.
    for (const path of [tokens, beside]) chownSync(path, 0, SOMEBODY);
    const left = await warnings();
    assert.deepEqual([left.includes(tokens), left.includes(beside)], [false, true]);
  }
  for (const path of [config, tokens, beside]) chmodSync(path, 0o600);
  file('.env', 0o644, 'SYNC_AUTH_TOKENS_FILE=./conf/tokens\nPORT=1\nSHOP_SECRET=\n');
  assert.doesNotMatch(await warnings(), /may read the (?:secrets|tokens)/);
  // A configuration that takes its secrets from elsewhere has none, nor has one with hashes alone.
  const code =
    'export default { hooks: [["sync-coordinator/hooks/jwt", { secret: "k".repeat(32) }]] };';
  const path = file('sync-coordinator.config.mjs', 0o644, code);
  assert.doesNotMatch(
    (await runProcess(t, ['check'], { cwd })).stderr,
    /may read the (?:secrets|tokens)/,
  );
  const hash = `sha256:${'0'.repeat(64)}`;
  file(
    'sync-coordinator.config.mjs',
    0o644,
    `export default { auth: { mode: "token-whitelist", tokens: ["${hash}"] } };`,
  );
  assert.doesNotMatch(
    (await runProcess(t, ['check'], { cwd })).stderr,
    /may read the (?:secrets|tokens)/,
  );
  file(
    'sync-coordinator.config.mjs',
    0o644,
    'export default { auth: { mode: "token-whitelist", tokens: ["zebra"] } };',
  );
  assert.ok(
    (await runProcess(t, ['check'], { cwd })).stderr.includes(`may read the secrets in ${path}`),
  );
});
