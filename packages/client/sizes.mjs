/**
 * What each subpath of the package costs an app, minified and compressed, with all that it imports:
 * `node sizes.mjs`. Fails when one is larger than it may be. `npm run build` comes first.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/**
 * In bytes of gzip, level 9. What is aimed at is 12,000 for all of `.`, and 2,000 for each store: of the
 * latter `./file` has its checks and its lock, and `./indexeddb` brings the tabs along, which are half of
 * it. What must not be exceeded without saying so here is what they have.
 */
const BOUNDS = {
  '.': 19_700,
  './protocol': 3_000,
  './connection': 6_000,
  './http': 2_300,
  './memory': 2_000,
  './react': 1_500,
  './file': 2_450,
  './indexeddb': 2_650,
  './testing': 5_000,
};

const here = fileURLToPath(new URL('.', import.meta.url));
const { exports } = JSON.parse(readFileSync(`${here}package.json`, 'utf8'));

async function sizeOf(file) {
  const { outputFiles } = await build({
    entryPoints: [file],
    absWorkingDir: here,
    bundle: true,
    minify: true,
    format: 'esm',
    external: ['react', 'node:*'],
    write: false,
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

// Who reads it in a pipe may have enough of it: the exit code tells of all subpaths all the same.
process.stdout.on('error', () => undefined);

for (const [subpath, { default: file } = {}] of Object.entries(exports)) {
  if (file === undefined) continue;
  const bytes = await sizeOf(file);
  const bound = BOUNDS[subpath];
  if (bound === undefined) throw new Error(`sizes.mjs has no bound for ${subpath}`);
  const isMet = bytes <= bound;
  process.stdout.write(`${subpath}: ${bytes} of ${bound} bytes${isMet ? '' : ': too large'}\n`);
  if (!isMet) process.exitCode = 1;
}
