import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ChainedBatch, ClassicLevel } from 'classic-level';
import { tuneRuntime } from '../../../src/cli/tune-runtime.ts';
import { SyncError } from '../../../src/errors/sync-error.ts';
import type { Storage } from '../../../src/storage/kv-store.ts';
import { createLevelStorage } from '../../../src/storage/leveldb/leveldb.ts';
import { kvStoreContract } from '../../../src/testing/index.ts';
import { tamperFormat } from '../tamper-format.ts';

const CHILD = fileURLToPath(new URL('../leveldb-child.ts', import.meta.url));

kvStoreContract({
  name: 'LevelDB',
  persistent: true,
  tamperFormat,
  async open() {
    const directory = await mkdtemp(path.join(tmpdir(), 'sync-level-'));
    let storage = await createLevelStorage({ directory, durability: 'fsync' });
    return {
      storage,
      async reopen() {
        await storage.close();
        storage = await createLevelStorage({ directory, durability: 'os' });
        return storage;
      },
      async dispose() {
        await storage.close();
        await rm(directory, { recursive: true });
      },
    };
  },
});

async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'sync-level-'));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

async function openIn(t: TestContext, directory: string): Promise<Storage> {
  const storage = await createLevelStorage({ directory, durability: 'fsync' });
  t.after(() => storage.close());
  return storage;
}

/** What all of classic-level's batches inherit from; it exports only the type. */
async function batchPrototype(t: TestContext): Promise<ChainedBatch<ClassicLevel, string, string>> {
  const level = new ClassicLevel(await temporaryDirectory(t));
  await level.open();
  const batch = level.batch();
  await level.close();
  return Object.getPrototypeOf(batch);
}

/** Starts leveldb-child.ts; its lines come parsed. */
function startChild(t: TestContext, directory: string, mode: string, limit = '') {
  // A shell, because only it can lower a limit of the process that follows.
  const command = `${limit} exec "$0" --import tsx "$@"`;
  const args = ['-c', command, process.execPath, CHILD, directory, mode];
  const child = spawn('/bin/sh', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => killed(child));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    async next(): Promise<unknown> {
      const { done, value } = await lines.next();
      return done ? undefined : JSON.parse(value);
    },
  };
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

describe('LevelDB: one process a data directory', () => {
  test('another process is told who holds it, and gets it when that one is killed', async (t) => {
    const directory = await temporaryDirectory(t);
    const { child, next } = startChild(t, directory, 'hold');
    assert.equal(await next(), 'held');
    const error = await createLevelStorage({ directory, durability: 'fsync' }).catch((e) => e);
    assert.ok(error instanceof SyncError);
    assert.equal(error.code, 'STORE_LOCKED');
    assert.ok(error.message.includes(directory), error.message);
    assert.match(error.message, new RegExp(`process ${child.pid} on \\S+, since 2\\d{3}-\\d\\d-`));
    assert.match(error.message, /stop that process, or give this one a directory of its own/);
    await killed(child);
    await (await openIn(t, directory)).open('crash');
  });

  test('it stays refused when the holder copies the directory, or the lock is deleted', async (t) => {
    const directory = await temporaryDirectory(t);
    const copy = path.join(await temporaryDirectory(t), 'copy');
    const { child, next } = startChild(t, directory, 'copy', `COPY='${copy}'`);
    assert.equal(await next(), 'copied');
    const refused = { code: 'STORE_LOCKED', message: new RegExp(`process ${child.pid} on `) };
    await assert.rejects(createLevelStorage({ directory, durability: 'fsync' }), refused);
    await rm(path.join(directory, '_coordinator'), { recursive: true });
    await assert.rejects(createLevelStorage({ directory, durability: 'fsync' }), refused);
    const storage = await openIn(t, copy);
    assert.deepEqual(await storage.list?.(), ['crash']);
    await killed(child);
    await openIn(t, directory);
  });

  test('the same process is refused too, also by another name, and keeps its lock', async (t) => {
    const directory = await temporaryDirectory(t);
    const other = path.join(await temporaryDirectory(t), 'link');
    await symlink(directory, other);
    const storage = await openIn(t, directory);
    for (const again of [directory, `${directory}/../${path.basename(directory)}/`, other]) {
      await assert.rejects(createLevelStorage({ directory: again, durability: 'fsync' }), {
        code: 'STORE_LOCKED',
        message: /this very process/,
      });
    }
    const { next } = startChild(t, directory, 'hold');
    assert.deepEqual(await next(), { refused: 'STORE_LOCKED' });
    await storage.close();
    await openIn(t, directory);
  });

  test('the directory is free after closing, and says nothing of its last holder', async (t) => {
    const directory = await temporaryDirectory(t);
    const storage = await createLevelStorage({ directory, durability: 'fsync' });
    const holder = JSON.parse(await readFile(path.join(directory, '_coordinator.json'), 'utf8'));
    assert.equal(holder.pid, process.pid);
    await storage.close();
    assert.deepEqual(await readdir(directory), ['_coordinator']);
  });

  test('a directory that cannot be made is refused with its name and the reason', async (t) => {
    const file = path.join(await temporaryDirectory(t), 'file');
    await writeFile(file, '');
    for (const directory of [file, path.join(file, 'below')]) {
      const error = await createLevelStorage({ directory, durability: 'fsync' }).catch((e) => e);
      assert.ok(error instanceof SyncError);
      assert.equal(error.code, 'STORE_UNAVAILABLE');
      assert.ok(error.message.includes(directory), error.message);
      assert.match(error.message, /ENOTDIR|EEXIST/);
      assert.ok(error.cause instanceof Error);
    }
  });
});

describe('LevelDB: what happens to it', () => {
  test('killed while it writes: all that was acknowledged is there, and nothing in part', async (t) => {
    const directory = await temporaryDirectory(t);
    const { child, next } = startChild(t, directory, 'write');
    let acknowledged = -1;
    while (acknowledged < 300) acknowledged = Number(await next());
    child.kill('SIGKILL');
    for (let line = await next(); line !== undefined; line = await next()) {
      acknowledged = Number(line);
    }
    const store = await (await openIn(t, directory)).open('crash');
    const partsByNumber = new Map<number, string>();
    for await (const entries of store.iterate({ gte: Buffer.from('a'), lt: Buffer.from('d') })) {
      for (const [key, value] of entries) {
        const name = Buffer.from(key).toString();
        assert.equal(value.length, 10_000);
        const number = Number(name.slice(1));
        partsByNumber.set(number, `${partsByNumber.get(number) ?? ''}${name[0]}`);
      }
    }
    for (let number = 0; number <= acknowledged; number++) {
      assert.equal(partsByNumber.get(number), 'abc', `transaction ${number} of ${acknowledged}`);
    }
    assert.ok([...partsByNumber.values()].every((parts) => parts === 'abc'));
    assert.ok(partsByNumber.size <= acknowledged + 2);
  });

  test('a disk that is full: it refuses until it is opened again, and loses nothing', async (t) => {
    const directory = await temporaryDirectory(t);
    // In blocks of 512 bytes in some shells, of 1024 in others.
    const { child, next } = startChild(t, directory, 'fill', 'ulimit -f 4096;');
    const exit = once(child, 'exit');
    const failure = await next();
    assert.ok(isRecord(failure));
    assert.equal(failure.code, 'STORE_UNAVAILABLE');
    assert.match(String(failure.cause), /File too large/);
    assert.deepEqual(await next(), { late: 'STORE_UNAVAILABLE', ran: false });
    assert.deepEqual(await next(), { visible: 0 });
    const end = await next();
    assert.ok(isRecord(end) && Array.isArray(end.acknowledged));
    assert.deepEqual(await exit, [0, null]);

    const store = await (await openIn(t, directory)).open('crash');
    const keys: string[] = [...end.acknowledged, String(failure.failed)];
    const parts = keys.map((key) =>
      [key, `${key}-first`, `${key}-last`].map((k) => Buffer.from(k)),
    );
    const there = await Promise.all(
      parts.map(async (names) => (await store.getMany(names)).filter(Boolean).length),
    );
    const failedParts = there.pop();
    assert.ok(
      failedParts === 0 || failedParts === 3,
      'what failed is there as a whole or not at all',
    );
    assert.ok(there.length > 1 && there.every((count) => count === 3));
  });

  for (const durability of ['fsync', 'os'] as const) {
    test(`a commit is ${durability === 'fsync' ? '' : 'not '}synced with durability ${durability}`, async (t) => {
      const directory = await temporaryDirectory(t);
      const storage = await createLevelStorage({ directory, durability });
      t.after(() => storage.close());
      const store = await storage.open('any');
      const writes = t.mock.method(await batchPrototype(t), 'write');
      await store.exclusive(async (transaction) => {
        transaction.put(Buffer.from('a'), Buffer.from('1'));
      });
      const options = writes.mock.calls.map((call) => call.arguments[0]);
      assert.deepEqual(options, [{ sync: durability === 'fsync' }]);
    });
  }

  test('a store that closes leaves little in its log for the next opening, and loses nothing', async (t) => {
    const directory = await temporaryDirectory(t);
    const storage = await createLevelStorage({ directory, durability: 'fsync' });
    const store = await storage.open('test');
    const value = Buffer.alloc(1024 * 1024, 7);
    await store.exclusive(async (transaction) => {
      for (let i = 0; i < 4; i++) transaction.put(Buffer.of(1, i), value);
    });
    await storage.close();
    const files = path.join(directory, 'db-test');
    for (const name of (await readdir(files)).filter((file) => file.endsWith('.log'))) {
      assert.ok((await stat(path.join(files, name))).size < value.length, name);
    }
    const again = await (await openIn(t, directory)).open('test');
    const keys = [0, 1, 2, 3].map((i) => Buffer.of(1, i));
    const found = await again.getMany(keys);
    assert.ok(found.every((bytes) => bytes !== undefined && value.equals(bytes)));
  });

  test('a database whose files are damaged is refused by its id, not by its path', async (t) => {
    const directory = await temporaryDirectory(t);
    const storage = await openIn(t, directory);
    await (await storage.open('broken')).close();
    await writeFile(path.join(directory, 'db-broken', 'CURRENT'), 'nonsense');
    const error = await storage.open('broken').catch((e) => e);
    assert.ok(error instanceof SyncError);
    assert.equal(error.code, 'STORE_DAMAGED');
    assert.match(error.message, /database broken/);
    assert.ok(!error.message.includes(directory));
    assert.match(String(error.cause), /CURRENT/);
    await storage.open('sound');
  });

  test('a database directory under another name is refused', async (t) => {
    const directory = await temporaryDirectory(t);
    const storage = await openIn(t, directory);
    await (await storage.open('one')).close();
    await rename(path.join(directory, 'db-one'), path.join(directory, 'db-two'));
    await assert.rejects(storage.open('two'), { code: 'STORE_FORMAT' });
  });

  test('a database is opened once at a time', async (t) => {
    const storage = await openIn(t, await temporaryDirectory(t));
    const opening = storage.open('once');
    await assert.rejects(storage.open('once'), TypeError);
    await (await opening).close();
    await storage.open('once');
  });

  test('closing the storage waits for what is being opened', async (t) => {
    const directory = await temporaryDirectory(t);
    const storage = await createLevelStorage({ directory, durability: 'fsync' });
    const opening = storage.open('slow');
    await storage.close();
    const store = await opening;
    await assert.rejects(store.getMany([]), { code: 'STORE_UNAVAILABLE' });
    await (await openIn(t, directory)).open('slow');
  });
});

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

test('what has been read is out of memory soon, however much there is', async (t) => {
  tuneRuntime();
  const storage = await openIn(t, await temporaryDirectory(t));
  const store = await storage.open('test');
  const mib = 1024 * 1024;
  for (let i = 0; i < 40; i++) {
    await store.exclusive(async (transaction) => {
      for (let j = 0; j < 16; j++) transaction.put(Buffer.of(1, i, j), Buffer.alloc(mib / 16, i));
    });
  }
  let read = 0;
  let most = 0;
  const before = process.memoryUsage().arrayBuffers;
  for await (const entries of store.iterate({ gte: Buffer.of(1), lt: Buffer.of(2) })) {
    read += entries.reduce((sum, [, value]) => sum + value.length, 0);
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  assert.equal(read, 40 * mib);
  // Once 40 MiB; 2 to 4 with what is being read when they are collected.
  assert.ok(most < 12 * mib, `${most / mib} MiB`);
});
