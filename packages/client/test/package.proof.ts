/**
 * The package as somebody installs it, in an empty project with nothing else: every subpath can be
 * imported, has what it needs, and brings nothing of the server. And its core runs where any of the
 * globals of browsers and of Node is missing.
 */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import { build } from 'esbuild';
import { runCommand } from '../../../test/package/command.ts';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
const { exports }: { exports: Record<string, { default: string } | string> } = JSON.parse(
  readFileSync(join(PACKAGE, 'package.json'), 'utf8'),
);
const subpaths = Object.entries(exports).filter(([, target]) => typeof target !== 'string');

const directory = mkdtempSync(join(tmpdir(), 'sync-client-'));
const project = join(directory, 'project');
let packed: string[] = [];
after(() => rmSync(directory, { recursive: true, force: true }));

before(async () => {
  await runCommand('node build.mjs', PACKAGE);
  const packing = `npm pack --ignore-scripts --json --pack-destination "${directory}"`;
  const [{ filename, files }]: [{ filename: string; files: { path: string }[] }] = JSON.parse(
    await runCommand(packing, PACKAGE),
  );
  packed = files.map(({ path }) => path);
  const target = join(project, 'node_modules/@sync-coordinator/client');
  mkdirSync(target, { recursive: true });
  await runCommand(`tar -xzf "${join(directory, filename)}" --strip-components=1`, target);
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
});

/** React is the app's own. */
const isForReact = (subpath: string) => subpath === './react';

test('each subpath can be imported with nothing else installed', async () => {
  for (const [subpath] of subpaths) {
    if (isForReact(subpath)) continue;
    const name = subpath.replace('.', '@sync-coordinator/client');
    const script = join(project, 'try.mjs');
    writeFileSync(
      script,
      `const names = Object.keys(await import('${name}'));\nif (names.length === 0) throw new Error('${name} has nothing');\n`,
    );
    await runCommand(`node "${script}"`, project);
  }
});

test('nothing of the server comes along but what both sides speak', () => {
  const outside = packed.filter(
    (path) => path.startsWith('dist/') && !path.startsWith('dist/packages/client/src/'),
  );
  assert.ok(outside.length > 0);
  for (const path of outside) assert.match(path, /^dist\/src\/(clock|protocol)\//);
  const manifest = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8'));
  assert.equal(manifest.dependencies, undefined);
});

test('the types need no other package', async () => {
  for (const path of packed.filter((name) => name.endsWith('.d.ts'))) {
    const declared = readFileSync(
      join(project, 'node_modules/@sync-coordinator/client', path),
      'utf8',
    );
    const text = declared.replaceAll(/\/\*[\s\S]*?\*\//g, '');
    const others = [...text.matchAll(/from '([^.'][^']*)'/g)].map(([, name]) => name);
    assert.deepEqual(
      others.filter((name) => name !== 'react'),
      [],
      path,
    );
  }
});

/** Beyond the language itself. */
const GLOBALS = [
  'WebSocket',
  'crypto',
  'setTimeout',
  'clearTimeout',
  'document',
  'process',
  'Buffer',
];

for (const missing of [...GLOBALS, 'all of them']) {
  test(`the core can be loaded and used without ${missing}`, async () => {
    const entry = `
      import { createSyncClient } from '@sync-coordinator/client';
      import { memoryStore } from '@sync-coordinator/client/memory';
      const environment = {
        now: () => 1_700_000_000_000,
        random: () => 0.5,
        randomBytes: (count) => new Uint8Array(count).fill(7),
        after: () => () => {},
        openSocket: () => ({ send() {}, close() {} }),
      };
      globalThis.done = (async () => {
        const client = createSyncClient({ url: 'ws://x/', store: memoryStore(), environment });
        await client.ready;
        client.transact((tx) => tx.table('t').set([1], { a: 1 }));
        return client.table('t').get([1]).a;
      })();
    `;
    const { outputFiles } = await build({
      stdin: { contents: entry, resolveDir: project },
      bundle: true,
      format: 'iife',
      platform: 'neutral',
      mainFields: ['module', 'main'],
      write: false,
    });
    const scope: Record<string, unknown> = {};
    for (const name of missing === 'all of them' ? [] : GLOBALS) {
      if (name !== missing) scope[name] = Reflect.get(globalThis, name);
    }
    createContext(scope);
    runInContext(outputFiles[0]?.text ?? '', scope);
    assert.equal(await scope.done, 1);
  });
}
