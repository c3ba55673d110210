/**
 * Builds what is published: `node scripts/build.mjs [directory]`, else into `dist`.
 * Plain JavaScript, because `prepare` runs it and needs nothing but the compiler for it.
 */

import { spawnSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const outDir = resolve(process.argv[2] ?? join(root, 'dist'));
const compiler = join(
  dirname(createRequire(import.meta.url).resolve('typescript/package.json')),
  'bin/tsc',
);

// What an earlier build left must not be published.
rmSync(outDir, { recursive: true, force: true });
const { status } = spawnSync(
  process.execPath,
  [compiler, '-p', join(root, 'tsconfig.build.json'), '--outDir', outDir],
  { stdio: 'inherit' },
);
if (status === 0) {
  chmodSync(join(outDir, 'src/bin/sync-coordinator.js'), 0o755);
} else {
  process.exitCode = status ?? 1;
}
