import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createLevelStorage } from '../../src/storage/leveldb/leveldb.ts';
import { temporaryDirectory } from '../support/server.ts';

const ENTRIES = 3000;
const keyOf = (i: number) => Buffer.from(`k${String(i).padStart(6, '0')}`);
const textOf = (i: number) => Buffer.from(`value ${i} `.repeat(20));

/** A store with tables and a log, that was closed. @returns its directory */
async function makeStore(dataDir: string): Promise<string> {
  const storage = await createLevelStorage({ directory: dataDir, durability: 'os' });
  for (const id of ['one', 'other']) {
    const store = await storage.open(id);
    for (let start = 0; start < ENTRIES; start += 100) {
      await store.exclusive(async (transaction) => {
        for (let i = start; i < start + 100; i++) transaction.put(keyOf(i), textOf(i));
      });
      if (start === ENTRIES / 2) await store.reclaimSpace?.();
    }
  }
  await storage.close();
  return path.join(dataDir, 'db-one');
}

/** What became of it: refused with a code, or how many entries it still has, all of them right. */
async function openDamaged(t: TestContext, dataDir: string): Promise<string | number> {
  const storage = await createLevelStorage({ directory: dataDir, durability: 'os' });
  t.after(() => storage.close());
  try {
    const other = await storage.open('other');
    assert.deepEqual(await other.getMany([keyOf(7)]), [textOf(7)], 'others are served');
    const store = await storage.open('one');
    const keys = Array.from({ length: ENTRIES }, (_, i) => keyOf(i));
    const values = await store.getMany(keys);
    for (const [i, value] of values.entries()) {
      if (value !== undefined) assert.deepEqual(Buffer.from(value), textOf(i));
    }
    return values.filter((value) => value !== undefined).length;
  } catch (error) {
    if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
      if (error.code.startsWith('STORE_')) {
        assert.doesNotMatch(error.message, /db-one/, 'a client is told nothing of files');
        return error.code;
      }
    }
    throw error;
  } finally {
    await storage.close();
  }
}

function newest(location: string, pattern: RegExp): string {
  const name = readdirSync(location)
    .filter((it) => pattern.test(it))
    .sort()
    .at(-1);
  assert.ok(name, `there is a ${pattern}`);
  return path.join(location, name);
}

function flip(file: string, share: number): void {
  const bytes = readFileSync(file);
  const at = Math.floor(bytes.length * share);
  bytes[at] = (bytes[at] ?? 0) ^ 4;
  writeFileSync(file, bytes);
}

const TABLE = /\.ldb$/;
const LOG = /\.log$/;
const MANIFEST = /^MANIFEST/;
const DAMAGES: Record<string, (location: string) => void> = {
  'a table that is cut off': (location) => truncateSync(newest(location, TABLE), 5000),
  'a table that is gone': (location) => rmSync(newest(location, TABLE)),
  'a table with a flipped bit in its data': (location) => flip(newest(location, TABLE), 0.3),
  'a table with a flipped bit in its index': (location) => flip(newest(location, TABLE), 0.999),
  'a log with a flipped bit': (location) => flip(newest(location, LOG), 0.3),
  'a log that is gone': (location) => rmSync(newest(location, LOG)),
  'a manifest with a flipped bit': (location) => flip(newest(location, MANIFEST), 0.1),
  'a manifest that is gone': (location) => rmSync(newest(location, MANIFEST)),
  'a CURRENT that is gone': (location) => rmSync(path.join(location, 'CURRENT')),
  'a CURRENT that is empty': (location) => writeFileSync(path.join(location, 'CURRENT'), ''),
};

for (const [what, damage] of Object.entries(DAMAGES)) {
  test(`refused, and left as it is, while others are served: ${what}`, async (t) => {
    const dataDir = temporaryDirectory();
    const location = await makeStore(dataDir);
    damage(location);
    const before = readdirSync(location).sort();
    assert.equal(await openDamaged(t, dataDir), 'STORE_DAMAGED');
    assert.deepEqual(readdirSync(location).sort(), before);
  });
}

test('a log whose last write is torn opens with all that was before it, as after a crash', async (t) => {
  const dataDir = temporaryDirectory();
  const log = newest(await makeStore(dataDir), LOG);
  truncateSync(log, readFileSync(log).length - 10);
  assert.equal(await openDamaged(t, dataDir), ENTRIES - 100);
});

test('a bit that is flipped anywhere in a table is refused, or changes nothing', async (t) => {
  const dataDir = temporaryDirectory();
  const table = newest(await makeStore(dataDir), TABLE);
  const whole = readFileSync(table);
  for (let i = 0; i < 60; i++) {
    flip(table, i / 60);
    const outcome = await openDamaged(t, dataDir);
    assert.ok(outcome === 'STORE_DAMAGED' || outcome === ENTRIES, `${i}: ${outcome}`);
    writeFileSync(table, whole);
  }
});
