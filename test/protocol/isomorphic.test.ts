/** The protocol is the clients' as well: it runs in any JavaScript, with nothing of Node's or of a browser's. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FOLDERS = ['src/clock', 'src/protocol'];

/** What the compiler says of files where there are neither types of Node nor of the DOM. */
async function compile(t: TestContext, files: readonly string[]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sync-coordinator-'));
  t.after(() => rm(directory, { recursive: true }));
  const config = join(directory, 'tsconfig.json');
  const compilerOptions = { types: [], paths: {}, noEmit: true, rootDir: '/' };
  const extended = join(ROOT, 'tsconfig.json');
  await writeFile(
    config,
    JSON.stringify({ extends: extended, compilerOptions, include: [], files }),
  );
  const compiler = join(ROOT, 'node_modules/tsc/bin/tsc');
  return new Promise((resolve) => {
    execFile(process.execPath, [compiler, '-p', config], { cwd: ROOT }, (_error, stdout) =>
      resolve(stdout),
    );
  });
}

test('messages, values and clocks need nothing of Node, and nothing of a browser', async (t) => {
  const files: string[] = [];
  for (const folder of FOLDERS) {
    for (const name of await readdir(join(ROOT, folder))) files.push(join(ROOT, folder, name));
  }
  assert.equal(await compile(t, files), '');
});

test('what does is found', async (t) => {
  assert.match(await compile(t, [join(ROOT, 'src/wire/long-json.ts')]), /Buffer|node:/);
});
