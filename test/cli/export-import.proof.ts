/** `export` and `import` as they are run, and what devices see of it. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { readUnpacked, refuseTaken, writeGzip } from '../../src/cli/export-file.ts';
import { siteIdToText } from '../../src/clock/site-id.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { createLevelStorage } from '../../src/storage/leveldb/leveldb.ts';
import { startCoordinator, type TestCoordinator } from '../../src/testing/coordinator.ts';
import { Device, siteBytes } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { checkExport } from '../../src/transfer/export/import-content.ts';
import { exportLines } from '../../src/transfer/export/write-export.ts';
import { createDir } from '../config/temp-dir.ts';
import { COMMAND, runProcess } from './run-process.ts';
import { makeDatabase, makeDeadlyStorage, withDatabase } from './transfer-data.ts';

const MIB = 1024 * 1024;
const NOTES = 'notes';
const FILE = `${NOTES}.ndjson.gz`;

const serve = (t: TestContext, dataDir: string): Promise<TestCoordinator> =>
  startCoordinator(t, { config: { dataDir, storage: undefined } });

function connect(t: TestContext, { wsUrl }: TestCoordinator, site: number): Promise<TestClient> {
  return TestClient.join(wsUrl, { siteId: siteIdToText(siteBytes(site)), databaseId: NOTES }, t);
}

const valuesOf = (changeSets: readonly WireChangeSet[]): unknown[] =>
  changeSets.flatMap(({ changes }) =>
    changes.map((change) => (change.type === 'column' ? change.value : 'deleted')),
  );

/** A served database with two transactions. @returns the positions after each */
async function makeServed(t: TestContext, dataDir: string, device: Device): Promise<string[]> {
  const server = await serve(t, dataDir);
  const author = await connect(t, server, 1);
  const reader = await connect(t, server, 2);
  const positions: string[] = [];
  for (const value of ['one', 'two']) {
    await author.apply(device.write({ pk: [value], set: { a: value } }));
    const [pushed] = await reader.nextPush();
    positions.push(pushed?.hlc ?? '');
  }
  await server.stop();
  return positions;
}

/** A database of 300 rows in `source`, and its file. @returns what is in the file */
async function makeExport(cwd: string): Promise<Buffer> {
  const directory = join(cwd, 'source');
  await makeDatabase(directory, NOTES, 300);
  const storage = await createLevelStorage({ directory, durability: 'os' });
  const view = await (await storage.open(NOTES)).view();
  const tally = { done: 0, total: 0 };
  const lines = exportLines(view, { databaseId: NOTES, exportedAt: new Date(0), tally });
  await writeGzip(join(cwd, FILE), lines);
  await storage.close();
  return readFileSync(join(cwd, FILE));
}

test('under a free name devices go on where they were, in another storage', async (t) => {
  const cwd = createDir(t);
  const device = new Device(1);
  const [first, second] = await makeServed(t, join(cwd, 'source'), device);
  const exported = await runProcess(t, ['export', NOTES, '--from', 'leveldb:source'], { cwd });
  assert.equal(exported.code, 0, exported.stdout + exported.stderr);
  assert.match(
    exported.stdout,
    /^database notes: 2 rows, 2 transactions, sha256 \w{64}: exported to notes\.ndjson\.gz\n$/,
  );
  const imported = await runProcess(t, ['import', FILE, '--data-dir', 'target'], { cwd });
  assert.equal(imported.stdout, 'database notes: 2 rows, 2 transactions: imported and compared\n');
  assert.equal(imported.code, 0);

  const server = await serve(t, join(cwd, 'target'));
  const [recent, behind] = [await connect(t, server, 2), await connect(t, server, 3)];
  const author = await connect(t, server, 1);
  await author.apply(device.write({ pk: ['three'], set: { a: 'three' } }));
  assert.deepEqual(valuesOf(await recent.changesSince(second)), ['three']);
  assert.deepEqual(valuesOf(await behind.changesSince(first)), ['two', 'three']);
});

test('with --replace every device that knew the database starts over, and then goes on', async (t) => {
  const cwd = createDir(t);
  const device = new Device(1);
  const [, second] = await makeServed(t, join(cwd, '.data'), device);
  assert.equal((await runProcess(t, ['export', NOTES], { cwd })).code, 0);
  const later = await withDatabase(join(cwd, '.data'), NOTES, async (manager) => {
    await manager.apply([device.write({ pk: ['lost'], set: { a: 'lost' } })]);
    return manager.position;
  });
  const refused = await runProcess(t, ['import', FILE], { cwd });
  assert.match(refused.stdout, /it has other data already\. Nothing was changed: .* --replace\n$/);
  assert.equal(refused.code, 2);

  // It is killed in the middle: what was there is gone, and what comes is not served yet.
  const deadly = makeDeadlyStorage(cwd, 2, '.data');
  const killed = await runProcess(t, ['import', FILE, '--to', deadly, '--replace'], { cwd });
  assert.equal(killed.code, null, killed.stdout + killed.stderr);
  await assert.rejects(
    withDatabase(join(cwd, '.data'), NOTES, async () => undefined),
    { code: 'STORE_UNAVAILABLE', message: /an import to it was interrupted/ },
  );
  const resumed = await runProcess(t, ['import', FILE, '--replace'], { cwd });
  assert.match(resumed.stdout, /imported and compared, in place of what .* site id [\w-]{22}\n$/);
  assert.equal(resumed.code, 0);

  const server = await serve(t, join(cwd, '.data'));
  const known = await connect(t, server, 2);
  for (const since of [second, later]) {
    await assert.rejects(known.changesSince(since), /SNAPSHOT_REQUIRED/);
  }
  const [header, ...chunks] = await known.snapshot();
  assert.doesNotMatch(JSON.stringify(chunks), /lost/);
  assert.match(JSON.stringify(chunks), /"one".*"two"/);
  const author = await connect(t, server, 1);
  const position = header?.hlc;
  assert.ok(typeof position === 'string');
  await known.changesSince(position);
  await author.apply(device.write({ pk: ['new'], set: { a: 'new' } }));
  assert.deepEqual(valuesOf(await known.nextPush()), ['new']);
});

test('a file that is no whole export touches nothing, and one line says what is wrong', async (t) => {
  const cwd = createDir(t);
  const packed = await makeExport(cwd);
  const newer = gunzipSync(packed).toString().replace('"formatVersion":3', '"formatVersion":4');
  for (const [bytes, message, code] of [
    [packed.subarray(0, -20), 'it cannot be unpacked: it has been cut short', 1],
    [gzipSync(newer), 'it is of format version 4, and this program reads 3: .*', 2],
  ] as const) {
    writeFileSync(join(cwd, 'file'), bytes);
    const args = ['import', 'file', '--to', 'leveldb:target'];
    const { stdout, stderr, ...ended } = await runProcess(t, args, { cwd });
    assert.match(stderr, new RegExp(`^sync-coordinator: file: ${message}\n$`));
    assert.equal(stdout, '');
    assert.equal(ended.code, code);
    assert.ok(!existsSync(join(cwd, 'target')));
  }
});

test('a file is read packed or not, and damage to either is found', async (t) => {
  const cwd = createDir(t);
  const packed = await makeExport(cwd);
  const text = gunzipSync(packed).toString();
  const check = async (bytes: Uint8Array) => {
    const file = join(cwd, 'file');
    writeFileSync(file, bytes);
    let read = 0;
    const checked = await checkExport(() =>
      readUnpacked(file, (more) => {
        read += more;
      }),
    );
    assert.equal(read, bytes.length);
    return checked.end.rows;
  };
  assert.equal(await check(packed), 300);
  assert.equal(await check(Buffer.from(text)), 300);
  const without = (at: number) => Buffer.concat([packed.subarray(0, at), packed.subarray(at + 1)]);
  const changed = text.replace('row 7"', 'row 8"');
  await assert.rejects(
    check(without(packed.length / 2)),
    /cannot be unpacked: it is damaged$|is not JSON$/,
  );
  await assert.rejects(check(without(packed.length - 1)), /cannot be unpacked: .* cut short$/);
  await assert.rejects(check(gzipSync(changed)), /do not have the checksum/);
  await assert.rejects(check(Buffer.from(changed)), /do not have the checksum/);
  await assert.rejects(check(Buffer.alloc(0)), /it is empty$/);
});

test('an export that was killed leaves no file that looks whole', async (t) => {
  const cwd = createDir(t);
  await makeDatabase(join(cwd, 'source'), NOTES, 3000);
  const level = new URL('../../src/storage/leveldb/leveldb.ts', import.meta.url).href;
  // Its process dies within what is read.
  writeFileSync(
    join(cwd, 'deadly.mjs'),
    `import { createLevelStorage } from ${JSON.stringify(level)};
export default async (options) => {
  const storage = await createLevelStorage({ ...options, directory: options.cwd + '/source' });
  async function* deadly(arrays) {
    let left = 2;
    for await (const entries of arrays) {
      if (left-- === 0) process.kill(process.pid, 'SIGKILL');
      yield entries;
    }
  }
  return {
    ...storage,
    async open(id) {
      const store = await storage.open(id);
      const view = async () => {
        const view = await store.view();
        return { ...view, iterate: (range) => deadly(view.iterate(range)) };
      };
      return { ...store, view };
    },
  };
};
`,
  );
  const killed = await runProcess(t, ['export', NOTES, '--from', './deadly.mjs'], { cwd });
  assert.equal(killed.code, null, killed.stdout + killed.stderr);
  assert.ok(!existsSync(join(cwd, FILE)));
  assert.equal(readdirSync(cwd).filter((name) => name.endsWith('.partial')).length, 1);

  const again = ['export', NOTES, '--from', 'leveldb:source'];
  assert.equal((await runProcess(t, again, { cwd })).code, 0);
  assert.equal(
    gunzipSync(readFileSync(join(cwd, FILE)))
      .toString()
      .split('\n').length,
    3009,
  );
});

test('a file that is there is left alone', async (t) => {
  const file = join(createDir(t), FILE);
  writeFileSync(file, 'of somebody else');
  await assert.rejects(refuseTaken(file, false), /is there already: .*--force$/);
  await refuseTaken(file, true);
  await assert.rejects(refuseTaken('/dev/null', true), /is not a file/);
  async function* broken() {
    yield Buffer.from('a part');
    throw new Error('the store is damaged');
  }
  await assert.rejects(writeGzip(file, broken()), /damaged/);
  assert.equal(readFileSync(file, 'utf8'), 'of somebody else');
  assert.deepEqual(readdirSync(dirname(file)), [FILE]);
});

test('through a pipe, under another name', async (t) => {
  const cwd = createDir(t);
  await makeDatabase(join(cwd, 'source'), NOTES, 300);
  const command = [process.execPath, ...COMMAND].map((part) => `'${part}'`).join(' ');
  const { stdout, stderr } = await promisify(execFile)(
    '/bin/sh',
    [
      '-c',
      `${command} export ${NOTES} --from leveldb:source --output - | ${command} import - --to leveldb:target --as copy`,
    ],
    { cwd },
  );
  assert.match(stderr, /^database notes: 300 rows, .* exported to stdout\n$/);
  assert.equal(stdout, 'database copy: 300 rows, 1 transactions: imported and compared\n');
});

test('neither runs beside a server, or leaves anything then', async (t) => {
  const cwd = createDir(t);
  await makeExport(cwd);
  const storage = await createLevelStorage({ directory: join(cwd, 'source'), durability: 'os' });
  t.after(() => storage.close());
  for (const args of [
    ['export', NOTES, '--from', 'leveldb:source', '--output', 'other'],
    ['import', FILE, '--to', 'leveldb:source', '--replace'],
  ]) {
    const { code, stderr } = await runProcess(t, args, { cwd });
    assert.match(stderr, /is in use by process/);
    assert.equal(code, 2);
  }
  assert.deepEqual(readdirSync(cwd).toSorted(), [FILE, 'source']);
});

test('a file that unpacks to a line without end is refused with its number, before it has been read', async (t) => {
  const cwd = createDir(t);
  const packed = await makeExport(cwd);
  const [header = ''] = gunzipSync(packed).toString().split('\n');
  // Members of gzip follow one another, so that nothing here holds all of it.
  const filler = gzipSync(Buffer.alloc(64 * MIB, 'x'), { level: 1 });
  const bomb = [gzipSync(`${header}\n{"type":"row`), ...new Array<Buffer>(16).fill(filler)];
  writeFileSync(join(cwd, 'bomb'), Buffer.concat(bomb));
  const failed = await runProcess(t, ['import', 'bomb', '--to', 'leveldb:target'], { cwd });
  assert.equal(failed.stderr, 'sync-coordinator: bomb: line 2 is longer than 128 MiB\n');
  assert.equal(failed.code, 1);
  assert.ok(!existsSync(join(cwd, 'target')));
});
