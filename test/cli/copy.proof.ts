import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLevelStorage } from '../../src/storage/leveldb/leveldb.ts';
import { Device } from '../../src/testing/device.ts';
import { createDir } from '../config/temp-dir.ts';
import { readAll } from '../support/engine.ts';
import { runProcess } from './run-process.ts';
import { makeDatabase, makeDeadlyStorage, withDatabase } from './transfer-data.ts';

const COPY = ['copy', '--from', 'leveldb:source', '--to', 'leveldb:target'];

test('a copy that was killed is served by nobody, goes on, and is the same in the end', async (t) => {
  const cwd = createDir(t);
  const source = join(cwd, 'source');
  const target = join(cwd, 'target');
  const watermark = await makeDatabase(source, 'Team:1');

  const deadly = makeDeadlyStorage(cwd, 3);
  const killed = await runProcess(t, [...COPY.slice(0, 3), '--to', deadly], { cwd });
  assert.equal(killed.code, null, killed.stdout + killed.stderr);

  await assert.rejects(
    withDatabase(target, 'Team:1', async () => undefined),
    { code: 'STORE_UNAVAILABLE', message: /copy to it was interrupted/ },
  );
  const unfinished = await runProcess(t, ['verify', '--storage', 'leveldb:target'], { cwd });
  assert.match(unfinished.stdout, /STORE_UNAVAILABLE: .*interrupted/);
  assert.equal(unfinished.code, 2);

  const resumed = await runProcess(t, COPY, { cwd });
  assert.equal(resumed.code, 0, resumed.stdout + resumed.stderr);
  assert.match(
    resumed.stdout,
    /^database Team:1: 9,\d+ entries, sha256 \w{64}: copied \(went on behind [1-9][\d,]* of them\) and compared\n$/,
  );
  const verified = await runProcess(t, ['verify', '--storage', 'leveldb:target'], { cwd });
  assert.match(verified.stdout, /^database Team:1: 9,000 rows, .*, ok\n$/);

  // A device that knew the old one goes on where it was.
  const late = new Device(2, 1_700_000_100_000).write({ pk: [1], set: { a: 'later' } });
  const heard = await withDatabase(target, 'Team:1', async (manager) => {
    await manager.apply([late]);
    return readAll(manager, watermark);
  });
  assert.deepEqual(
    heard.map(({ changes }) => changes),
    [late.changes],
  );
});

test('a copy leaves what is there already, and says whether it is the same', async (t) => {
  const cwd = createDir(t);
  await makeDatabase(join(cwd, 'source'), 'same', 3);
  await makeDatabase(join(cwd, 'source'), 'taken', 3);
  assert.equal((await runProcess(t, ['copy', 'same', ...COPY.slice(1)], { cwd })).code, 0);
  await makeDatabase(join(cwd, 'target'), 'taken', 2);

  const { code, stdout } = await runProcess(t, COPY, { cwd });
  assert.match(
    stdout,
    /^database same: .*: there already, the same\ndatabase taken: it has other data already\n$/,
  );
  assert.equal(code, 2);
  const rows = await withDatabase(join(cwd, 'target'), 'taken', (manager) => readAll(manager));
  assert.equal(rows.flatMap(({ changes }) => changes).length, 2);
});

test('a copy does not run beside a server, and makes nothing then', async (t) => {
  const cwd = createDir(t);
  const storage = await createLevelStorage({ directory: join(cwd, 'source'), durability: 'os' });
  const { code, stderr } = await runProcess(t, COPY, { cwd });
  await storage.close();
  assert.match(stderr, /is in use by process/);
  assert.equal(code, 2);
});
