/** What is imported before the server listens: packages that it may never need would only make it start later. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { BUILT_COMMAND } from '../support/built-command.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DIST = dirname(dirname(dirname(BUILT_COMMAND)));

/** Packages that are imported with the file, not later by `import()`. */
async function packagesOf(entry: string): Promise<Set<string>> {
  const { metafile } = await build({
    entryPoints: [join(ROOT, entry)],
    ...{ bundle: true, write: false, metafile: true, format: 'esm', platform: 'node' },
    ...{ packages: 'external', absWorkingDir: ROOT, logLevel: 'error', outdir: ROOT },
  });
  const packages = new Set<string>();
  const seen = new Set([entry]);
  for (const file of seen) {
    for (const { path, kind, external } of metafile.inputs[file]?.imports ?? []) {
      if (kind !== 'import-statement') continue;
      if (external !== true) seen.add(path);
      else if (!path.startsWith('node:')) packages.add(path);
    }
  }
  assert.ok(seen.size > 100);
  return packages;
}

test('a server that needs neither PostgreSQL nor TypeScript imports nothing for them', async () => {
  const packages = await packagesOf('src/cli/start.ts');
  assert.ok(packages.has('fastify'), [...packages].join());
  const costly = [...packages].filter((name) => /^(?:pg|tsx|jose|cli-progress)(?:\/|$)/.test(name));
  assert.deepEqual(costly, []);
});

test('what is published is few files, of which none imports the many of typebox', () => {
  const files = readdirSync(DIST, { recursive: true, encoding: 'utf8' });
  const modules = files.filter((name) => name.endsWith('.js'));
  assert.ok(modules.length < 100, `${modules.length} files`);
  for (const name of modules) {
    const text = readFileSync(join(DIST, name), 'utf8');
    assert.doesNotMatch(text, /^import .*["']typebox(?:\/\w+)?["'];$/m, name);
  }
});
