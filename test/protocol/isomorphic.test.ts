/** The protocol is the clients' as well: it runs in any JavaScript, with nothing of Node's or of a browser's. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
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

async function filesOf(folders: readonly string[]): Promise<string[]> {
  const names = await Promise.all(
    folders.map(async (folder) =>
      (await readdir(join(ROOT, folder))).map((n) => join(ROOT, folder, n)),
    ),
  );
  return names.flat();
}

/** What a file imports and exports again, but for types: these are gone once it is compiled. */
const LOADED = /^(?:import|export) (?!type\b)(?:[^;=(]*? from )?'([^']+)';$/gm;

/** The packages that come along with a file, with all that it loads. */
function packagesOf(file: string, seen = new Set<string>()): string[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const specifiers = [...readFileSync(file, 'utf8').matchAll(LOADED)].map(([, name = '']) => name);
  return specifiers.flatMap((name) =>
    name.startsWith('.') ? packagesOf(join(dirname(file), name), seen) : [name],
  );
}

test('messages, values and clocks need nothing of Node, and nothing of a browser', async (t) => {
  assert.equal(await compile(t, await filesOf(FOLDERS)), '');
});

test('what does is found', async (t) => {
  assert.match(await compile(t, [join(ROOT, 'src/wire/long-json.ts')]), /Buffer|node:/);
});

test('a client that checks no schemas loads no package', async () => {
  const files = await filesOf(FOLDERS);
  const heavy = files.filter((file) => packagesOf(file).length > 0);
  assert.deepEqual(
    heavy,
    ['schemas.ts', 'server-messages.ts'].map((name) => join(ROOT, 'src/protocol', name)),
  );
});
