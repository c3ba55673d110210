/** What people do to the directory of a running server. It has copied it, which takes LevelDB's own lock away. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SyncError } from '../../../src/errors/sync-error.ts';
import type { Storage } from '../../../src/storage/kv-store.ts';
import { createLevelStorage } from '../../../src/storage/leveldb/leveldb.ts';

const CHILD = fileURLToPath(new URL('../leveldb-child.ts', import.meta.url));
const LOCKED = { refused: 'STORE_LOCKED' };

async function startHolder(t: TestContext) {
  const parent = await mkdtemp(path.join(tmpdir(), 'sync-level-'));
  t.after(() => rm(parent, { recursive: true }));
  const directory = path.join(parent, 'data');
  const child = spawn(process.execPath, ['--import', 'tsx', CHILD, directory, 'obey'], {
    env: { ...process.env, COPY: path.join(parent, 'copy'), DEBUG: '*:error' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  t.after(async () => {
    const exit = once(child, 'exit');
    if (child.exitCode === null && child.kill('SIGKILL')) await exit;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => JSON.parse((await lines.next()).value);
  const errors = createInterface({ input: child.stderr })[Symbol.asyncIterator]();
  assert.equal(await next(), 'copied');
  return {
    directory,
    child,
    ask(what: string): Promise<unknown> {
      child.stdin.write(`${what}\n`);
      return next();
    },
    /** Its next line for the operator. */
    said: async (): Promise<string> => (await errors.next()).value,
  };
}

const open = (directory: string) => createLevelStorage({ directory, durability: 'fsync' });

/** Closing its stores takes it a moment. */
async function openOnceFree(directory: string): Promise<Storage> {
  for (;;) {
    try {
      return await open(directory);
    } catch (error) {
      if (!(error instanceof SyncError) || error.code !== 'STORE_LOCKED') throw error;
    }
  }
}

async function removeLocks(directory: string): Promise<void> {
  for (const name of ['_coordinator', '_coordinator.json']) {
    await rm(path.join(directory, name), { recursive: true });
  }
}

test('whoever deletes the locks lets nobody in, and stops who was in', async (t) => {
  const { directory, child, ask, said } = await startHolder(t);
  assert.equal(await ask('write'), 'done');
  child.kill('SIGSTOP');
  await removeLocks(directory);
  await assert.rejects(open(directory), { code: 'STORE_LOCKED', message: /another process/ });
  // That one has made them anew.
  await rm(path.join(directory, '_coordinator'), { recursive: true });
  child.kill('SIGCONT');
  assert.match(await said(), /data directory .+ was moved, or its lock deleted/);
  for (const what of ['write', 'read', 'open', 'health']) assert.deepEqual(await ask(what), LOCKED);
  const storage = await openOnceFree(directory);
  t.after(() => storage.close());
  const store = await storage.open('crash');
  assert.deepEqual(await store.getMany([Buffer.of(1)]), [Buffer.of(1)]);
  // It goes without taking anything along that is another's now.
  assert.equal(await ask('stop'), 'done');
  const holder = JSON.parse(await readFile(path.join(directory, '_coordinator.json'), 'utf8'));
  assert.equal(holder.pid, process.pid);
});

test('who has no database open is told from whoever has, too, and opens none', async (t) => {
  const { directory, ask } = await startHolder(t);
  assert.equal(await ask('close'), 'done');
  await removeLocks(directory);
  const storage = await open(directory);
  t.after(() => storage.close());
  assert.deepEqual(await ask('open'), LOCKED);
  assert.deepEqual(await ask('health'), LOCKED);
});

test('nothing is acknowledged into a directory that was moved away', async (t) => {
  const { directory, ask, said } = await startHolder(t);
  await rename(directory, `${directory}.old`);
  await cp(`${directory}.old`, directory, { recursive: true });
  assert.deepEqual(await ask('write'), LOCKED);
  assert.match(await said(), /was moved/);
  const storage = await open(directory);
  t.after(() => storage.close());
  const store = await storage.open('crash');
  assert.deepEqual(await store.getMany([Buffer.of(1)]), [undefined]);
  assert.deepEqual(await ask('open'), LOCKED);
});

test('nothing is acknowledged into a database that was moved away', async (t) => {
  const { directory, ask } = await startHolder(t);
  const database = path.join(directory, 'db-crash');
  await rename(database, path.join(directory, 'old'));
  assert.deepEqual(await ask('write'), LOCKED);
  assert.deepEqual(await ask('read'), LOCKED);
  assert.equal(await ask('health'), 'done');
  assert.equal(await ask('open'), 'done');
});
