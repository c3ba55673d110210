/** What keeps a server from starting, or from storing anything, is named as it is. */

import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startChildServer } from '../support/child-server.ts';
import { temporaryDirectory } from '../support/server.ts';

/** Mounts a small file system at `$DIR`, for what it runs alone. */
const smallDisk = (then: string) =>
  `unshare --map-root-user --mount sh -c 'mount -t tmpfs -o size=1m,mode=700 none "$DIR" && ${then} exec "$@"' sh`;
const FILL = 'head -c 2000000 /dev/zero > "$DIR/fill" 2>/dev/null;';

/** Fills what is left, as the one who sees that disk. */
function fill(file: string): void {
  assert.throws(() => writeFileSync(file, Buffer.alloc(2_000_000)), { code: 'ENOSPC' });
}

async function readiness(url: string): Promise<{ status: number; body: string }> {
  const response = await fetch(`${url}/readyz`);
  return { status: response.status, body: await response.text() };
}

async function untilReadiness(url: string, status: number): Promise<string> {
  for (;;) {
    const answer = await readiness(url);
    if (answer.status === status) return answer.body;
  }
}

test('a disk that is full at the start is named, in a line', async (t) => {
  const dataDir = temporaryDirectory();
  const wrapper = smallDisk(`mkdir "$DIR/data"; ${FILL}`);
  const args = ['--data-dir', join(dataDir, 'data')];
  await assert.rejects(
    startChildServer(t, { dataDir, args, wrapper, env: { DIR: dataDir } }),
    /^Error: it ended with 1: sync-coordinator: the data directory .*\/data cannot be used, the disk is full: make room .*\n$/,
  );
});

test('a disk that is full while it runs makes it unready, until there is room', async (t) => {
  const dataDir = temporaryDirectory();
  const env = { DIR: dataDir };
  const server = await startChildServer(t, { dataDir, wrapper: smallDisk(''), env });
  assert.equal((await readiness(server.httpUrl)).status, 200);
  const file = `/proc/${server.process.pid}/root${dataDir}/fill`;
  fill(file);
  assert.match(await untilReadiness(server.httpUrl, 503), /"the disk is full: make room"/);
  rmSync(file);
  await untilReadiness(server.httpUrl, 200);
});

test('so few files that it cannot be imported are named, in a line', async (t) => {
  for (const files of [40, 100, 150]) {
    await assert.rejects(
      startChildServer(t, { dataDir: temporaryDirectory(), before: `ulimit -n ${files};` }),
      new RegExp(
        `^Error: it ended with 1: sync-coordinator: this process may open ${files} files, which is too few .* \\(ulimit -n, .*\\n$`,
      ),
    );
  }
});
