/** What is imported before the server listens: packages that it may never need would only make it start later. */

import assert from 'node:assert/strict';
import { dirname, relative } from 'node:path';
import { test } from 'node:test';
import { build } from 'esbuild';
import { BUILT_COMMAND } from '../support/built-command.ts';

const DIST = dirname(dirname(dirname(BUILT_COMMAND)));

/** Packages that are imported with the file, not later by `import()`. */
async function packagesOf(entry: string): Promise<Set<string>> {
  const { metafile } = await build({
    entryPoints: [`${DIST}/${entry}`],
    ...{ bundle: true, write: false, metafile: true, format: 'esm', platform: 'node' },
    ...{ packages: 'external', absWorkingDir: DIST, logLevel: 'error', outdir: DIST },
  });
  const packages = new Set<string>();
  const seen = new Set([relative(DIST, `${DIST}/${entry}`)]);
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
  const packages = await packagesOf('src/cli/start.js');
  assert.ok(packages.has('fastify'), [...packages].join());
  const costly = [...packages].filter((name) =>
    /^(?:pg|tsx|typebox|jose|cli-progress)(?:\/|$)/.test(name),
  );
  assert.deepEqual(costly, []);
});
