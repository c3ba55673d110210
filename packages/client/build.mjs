/**
 * Builds what is published: `node build.mjs`. Each entry is one file, and what entries share is a file
 * beside them, with the server's own encodings bundled in. Types stand beside in `dist/types`.
 */

import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { ENTRIES } from './entries.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const outdir = join(here, 'dist');
rmSync(outdir, { recursive: true, force: true });
await build({
  entryPoints: ENTRIES,
  absWorkingDir: here,
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  external: ['react', 'node:*'],
  minifySyntax: true,
  logLevel: 'warning',
});
const require = createRequire(import.meta.url);
const compiler = join(dirname(require.resolve('tsc/package.json')), 'bin/tsc');
const config = join(here, 'tsconfig.build.json');
const { status } = spawnSync(process.execPath, [compiler, '-p', config], { stdio: 'inherit' });
process.exitCode = status ?? 1;
