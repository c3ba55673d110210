import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { HEAD_KEY } from '../../src/engine/records/keys.ts';
import { createLevelStorage } from '../../src/storage/leveldb/leveldb.ts';
import { Device } from '../../src/testing/device.ts';
import { createDir } from '../config/temp-dir.ts';
import { openEngine } from '../support/engine.ts';
import { runProcess } from './run-process.ts';

/** Two databases: `good`, and `Bad:1`, whose head counts wrongly. */
async function makeData(cwd: string): Promise<string> {
  const directory = join(cwd, '.data');
  const storage = await createLevelStorage({ directory, durability: 'os' });
  for (const id of ['good', 'Bad:1']) {
    const { manager, store } = await openEngine({ store: await storage.open(id) });
    await manager.apply([new Device(1).write({ pk: [1], set: { a: 1, b: 2 } })]);
    if (id === 'good') continue;
    const [head] = await store.getMany([HEAD_KEY]);
    const wrong = { ...JSON.parse(Buffer.from(head ?? []).toString()), logLength: 3 };
    await store.exclusive(async (transaction) => {
      transaction.put(HEAD_KEY, Buffer.from(JSON.stringify(wrong)));
    });
  }
  await storage.close();
  return directory;
}

test('verify says what it found, of each database, and exits with 1', async (t) => {
  const cwd = createDir(t);
  await makeData(cwd);
  const all = await runProcess(t, ['verify'], { cwd });
  assert.equal(
    all.stdout,
    `database Bad:1: LOG_COUNT: m head: counts 3 transactions, and there are 1
database Bad:1: 1 rows, 2 cells, 1 log records, 2 changes, 1 findings
database good: 1 rows, 2 cells, 1 log records, 2 changes, ok
`,
  );
  assert.equal(all.stderr, '');
  assert.equal(all.code, 1);
  const good = await runProcess(t, ['verify', 'good'], { cwd });
  assert.equal(good.code, 0, good.stdout + good.stderr);
});

test('verify names a damaged file, and what to do', async (t) => {
  const cwd = createDir(t);
  const directory = await makeData(cwd);
  writeFileSync(join(directory, 'db-good', 'CURRENT'), '');
  const { code, stdout } = await runProcess(t, ['verify', 'good'], { cwd });
  assert.match(stdout, /^database good: STORE_DAMAGED: .*db-good: CURRENT .*Restore a backup/);
  assert.equal(code, 1);
});

test('verify makes nothing, and exits with 2 where there is nothing to check', async (t) => {
  const cwd = createDir(t);
  const none = await runProcess(t, ['verify'], { cwd });
  assert.match(none.stderr, /data directory .* cannot be used/);
  assert.equal(none.code, 2);
  assert.ok(!existsSync(join(cwd, '.data')));
  const directory = await makeData(cwd);
  const missing = await runProcess(t, ['verify', 'nobody'], { cwd });
  assert.match(missing.stderr, /there is no database nobody/);
  assert.equal(missing.code, 2);
  assert.ok(!readdirSync(directory).includes('db-nobody'));
});

test('verify does not run beside a server', async (t) => {
  const cwd = createDir(t);
  const directory = join(cwd, '.data');
  const storage = await createLevelStorage({ directory, durability: 'os' });
  const { code, stderr } = await runProcess(t, ['verify'], { cwd });
  await storage.close();
  assert.match(stderr, /is in use by process/);
  assert.equal(code, 2);
  assert.ok(readFileSync(join(cwd, '.data', '_coordinator', 'CURRENT')));
});

test('what could not even begin is no damage: it exits with 2', async (t) => {
  const cwd = createDir(t);
  const lines = [
    ['verify', 'one', 'two'],
    ['export'],
    ['import', 'a.gz', '--unknown'],
    ['copy', '--from', 'memory:'],
    ['verify', '--storage', 'mysql://host'],
  ];
  for (const line of lines) {
    const { code, stderr } = await runProcess(t, line, { cwd });
    assert.equal(code, 2, `${line.join(' ')}: ${stderr}`);
  }
  const help = await runProcess(t, ['verify', '--help'], { cwd });
  assert.equal(help.code, 0);
});
