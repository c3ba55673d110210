/** The file store: its contract, and what is left when it is killed, cut, damaged or out of room. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FileStore, fileStore } from '../../src/stores/file.ts';
import { lockPath } from '../../src/stores/file-lock.ts';
import { StoreError, type StoreErrorCode, type StoreOperation } from '../../src/stores/store.ts';
import { clientStoreContract } from '../../src/testing/index.ts';

const directory = mkdtempSync(join(tmpdir(), 'file-store-'));
after(() => rmSync(directory, { recursive: true }));

clientStoreContract({
  test,
  open: (name) => new FileStore(join(directory, name, 'replica'), { garbageBytesMin: 4_000 }),
});

let paths = 0;
const newPath = () => join(directory, `replica-${++paths}`);

const put = (key: string, value: unknown): StoreOperation => ({ type: 'put', key, value });

const isCode = (code: StoreErrorCode) => (error: unknown) =>
  error instanceof StoreError && error.code === code;

/** What a file holds for who opens it now. */
async function read(path: string): Promise<Record<string, unknown>> {
  const store = fileStore(path);
  try {
    return Object.fromEntries(await store.load());
  } finally {
    await store.close();
  }
}

/** A file with so many batches, each of which writes its number under `batch`. */
async function write(path: string, batches: number): Promise<void> {
  const store = fileStore(path);
  for (let i = 1; i <= batches; i++) {
    await store.commit([put('batch', i), put(`row/${i}`, { i, text: `"é😀\n` })]);
  }
  await store.close();
}

function run(module: string, ...args: string[]) {
  const path = fileURLToPath(new URL(module, import.meta.url));
  return spawn(process.execPath, ['--import', 'tsx', path, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

test('a process that is killed leaves whole batches, and all that it was told are there', async () => {
  const path = newPath();
  let durable = 0;
  for (let kill = 0; kill < 6; kill++) {
    const child = run('file-writer.ts', path, `${durable + 1}`);
    const closed = once(child, 'close');
    const until = durable + 3 + kill * 7;
    for await (const line of createInterface({ input: child.stdout })) {
      durable = Number(line);
      if (durable >= until) child.kill('SIGKILL');
    }
    await closed;
    const entries = await read(path);
    // The batch under way may be there, but as a whole.
    assert.ok(entries.end === durable || entries.end === durable + 1);
    assert.equal(entries.begin, entries.end);
    durable = Number(entries.end);
    assert.equal((entries[`row/${durable % 5}`] as { batch: number }).batch, durable);
  }
  assert.ok(statSync(path).size < 1_000_000, 'it was written anew in between');
});

test('a file that is cut anywhere holds the batches that are whole, and can be written', async () => {
  const path = newPath();
  await write(path, 3);
  const whole = readFileSync(path);
  const ends = [...whole.keys()].filter((at) => whole[at] === 10).map((at) => at + 1);
  for (let length = 0; length < whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length));
    const batches = Math.max(0, ends.filter((end) => end <= length).length - 1);
    const store = fileStore(path);
    const entries = new Map(await store.load());
    assert.equal(entries.get('batch') ?? 0, batches, `cut to ${length} bytes`);
    assert.equal(entries.size, batches === 0 ? 0 : batches + 1);
    await store.commit([put('after', length)]);
    await store.close();
    assert.equal((await read(path)).after, length);
  }
});

test('a last batch with other bytes than were written is cut off', async () => {
  for (const tail of [Buffer.alloc(3_000), 'x'.repeat(100), '00000000 2 []\n', '\n']) {
    const path = newPath();
    await write(path, 3);
    appendFileSync(path, tail);
    assert.equal((await read(path)).batch, 3);
    const store = fileStore(path);
    await store.commit([put('batch', 4)]);
    await store.close();
    assert.equal((await read(path)).batch, 4);
  }
});

test('damage before the last batch is told, and nothing is overwritten', async () => {
  const path = newPath();
  await write(path, 5);
  const whole = readFileSync(path);
  const lastLine = whole.lastIndexOf(10, whole.length - 2) + 1;
  for (let at = 0; at < lastLine; at += 3) {
    const damaged = Buffer.from(whole);
    damaged[at] = (damaged[at] ?? 0) ^ 0x15;
    writeFileSync(path, damaged);
    const store = fileStore(path);
    const isRefused = (error: unknown) =>
      isCode('STORE_DAMAGED')(error) || (at < 30 && isCode('STORE_VERSION')(error));
    await assert.rejects(store.load(), isRefused, `byte ${at}`);
    await assert.rejects(store.commit([put('a', 1)]), isRefused);
    await store.close();
    assert.deepEqual(readFileSync(path), damaged);
  }
});

test('what is no replica, or one of another version, is left alone', async () => {
  const path = newPath();
  for (const [text, code] of [
    ['a diary\n', 'STORE_DAMAGED'],
    ['sync-coordinator replica 2\nxyz', 'STORE_VERSION'],
  ] as const) {
    writeFileSync(path, text);
    await assert.rejects(read(path), isCode(code));
    assert.equal(readFileSync(path, 'utf8'), text);
  }
  await assert.rejects(read(directory), isCode('STORE_UNAVAILABLE'));
});

test('it is written anew when most of it is out of date', async () => {
  const path = newPath();
  const store = new FileStore(path, { garbageBytesMin: 10_000 });
  for (let i = 0; i < 500; i++) await store.commit([put('same', 'x'.repeat(1_000))]);
  assert.ok(statSync(path).size < 20_000);
  await store.commit([put('other', 1)]);
  await store.close();
  assert.equal(existsSync(`${path}.new`), false);
  assert.deepEqual(await read(path), { same: 'x'.repeat(1_000), other: 1 });
});

test('what a process left that was killed while it wrote the file anew does not matter', async () => {
  const path = newPath();
  await write(path, 2);
  writeFileSync(`${path}.new`, 'sync-coordinator replica 1\n0000');
  assert.equal((await read(path)).batch, 2);
  assert.equal(existsSync(`${path}.new`), false);
});

test('a file is open once at a time, until its process ends', async () => {
  const path = newPath();
  const child = run('file-writer.ts', path);
  const closed = once(child, 'close');
  await once(child.stdout, 'data');
  const store = fileStore(path);
  await assert.rejects(store.load(), isCode('STORE_UNAVAILABLE'));
  child.kill('SIGKILL');
  await closed;
  assert.ok(new Map(await store.load()).size > 0, 'the same store gets it by another try');
  await assert.rejects(read(path), isCode('STORE_UNAVAILABLE'));
  await store.close();
  await read(path);
});

test('a file that was deleted, replaced or written by somebody else takes nothing, until it is back', async () => {
  const path = newPath();
  await write(path, 2);
  const old = readFileSync(path);
  const store = fileStore(path);
  await store.commit([put('batch', 3)]);
  const own = readFileSync(path);
  const isRefused = () => assert.rejects(store.commit([put('batch', 4)]), isCode('STORE_DAMAGED'));
  for (const content of [old, Buffer.concat([own, own]), Buffer.alloc(0)]) {
    writeFileSync(path, content);
    await isRefused();
    assert.deepEqual(readFileSync(path), content, 'nothing is overwritten');
  }
  writeFileSync(path, own);
  renameSync(path, `${path}.moved`);
  await isRefused();
  assert.equal(existsSync(path), false);
  writeFileSync(path, own);
  await isRefused();
  renameSync(`${path}.moved`, path);
  await store.commit([put('batch', 5)]);
  await store.close();
  assert.equal((await read(path)).batch, 5);
});

test('a file is open once at a time, by whichever of its names', async () => {
  const path = newPath();
  await write(path, 1);
  const [link, linkedDirectory, hardLink] = [newPath(), newPath(), newPath()];
  symlinkSync(path, link);
  symlinkSync(directory, linkedDirectory);
  const store = fileStore(path);
  await store.load();
  for (const other of [link, join(linkedDirectory, basename(path))]) {
    await assert.rejects(read(other), isCode('STORE_UNAVAILABLE'));
  }
  linkSync(path, hardLink);
  await assert.rejects(read(hardLink), isCode('STORE_UNAVAILABLE'));
  await store.commit([put('batch', 2)]);
  await store.close();
  rmSync(hardLink);
  const linked = new FileStore(link, { garbageBytesMin: 1_000 });
  for (let i = 0; i < 50; i++) await linked.commit([put('same', 'x'.repeat(100))]);
  await linked.close();
  assert.ok(lstatSync(link).isSymbolicLink(), 'written anew where it leads');
  assert.equal((await read(path)).same, 'x'.repeat(100));
});

test('a lock that a killed process left as a file is taken over, one that is held is not', async () => {
  const path = newPath();
  const code = `
    import { lockPath } from ${JSON.stringify(new URL('../../src/stores/file-lock.ts', import.meta.url))};
    (await lockPath(${JSON.stringify(path)}, 'darwin')).ref();
    process.stdout.write('locked');
  `;
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '--eval', code],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const closed = once(child, 'close');
  await once(child.stdout, 'data');
  const isTaken = (error: unknown) => Reflect.get(Object(error), 'code') === 'EADDRINUSE';
  await assert.rejects(lockPath(path, 'darwin'), isTaken);
  child.kill('SIGKILL');
  await closed;
  const lock = await lockPath(path, 'darwin');
  await assert.rejects(lockPath(path, 'darwin'), isTaken);
  await new Promise<void>((done) => lock.close(done));
});

/** Writes where a file may have 64 KiB, as on a disk that is full. */
const FULL = `
  import { FileStore } from ${JSON.stringify(new URL('../../src/stores/file.ts', import.meta.url))};
  process.on('SIGXFSZ', () => {});
  const store = new FileStore(process.env.STORE_PATH);
  const code = (work) => work.then(() => 'done', (error) => error.code);
  const put = (key, length) => store.commit([{ type: 'put', key, value: 'x'.repeat(length) }]);
  process.stdout.write(JSON.stringify([
    await code(put('a', 10)),
    await code(put('b', 100_000)),
    await code(put('b', 100_000)),
    await code(put('c', 50_000)),
    await code(put('d', 20_000)),
    await code(put('e', 10)),
    [...await store.load()].map(([key]) => key),
  ]));
`;

test('a disk without room refuses the batch, and takes the next one that fits', async () => {
  const path = newPath();
  const child = spawn(
    'sh',
    [
      '-c',
      'ulimit -f 128 && exec "$0" --import tsx --input-type=module --eval "$1"',
      process.execPath,
      FULL,
    ],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, STORE_PATH: path, TSX_DISABLE_CACHE: '1' },
    },
  );
  let output = '';
  child.stdout.on('data', (data: Buffer) => {
    output += data;
  });
  await once(child, 'close');
  assert.deepEqual(JSON.parse(output), [
    'done',
    'STORE_FULL',
    'STORE_FULL',
    'done',
    'STORE_FULL',
    'done',
    ['a', 'c', 'e'],
  ]);
  assert.deepEqual(Object.keys(await read(path)), ['a', 'c', 'e']);
});
