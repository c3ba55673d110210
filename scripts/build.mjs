/**
 * Builds what is published: `node scripts/build.mjs [directory]`, else into `dist`.
 * Plain JavaScript, because `prepare` runs it.
 */

import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleTypebox, ENTRIES } from './one-typebox.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const outDir = resolve(process.argv[2] ?? join(root, 'dist'));
const compiler = join(
  dirname(createRequire(import.meta.url).resolve('tsc/package.json')),
  'bin/tsc',
);

/** Importing its 683 files would take half of the time until the server listens. */
async function useOneTypebox() {
  const directory = join(outDir, 'typebox');
  const files = readdirSync(outDir, { recursive: true }).filter((name) => name.endsWith('.js'));
  await bundleTypebox(directory);
  copyFileSync(join(root, 'node_modules/typebox/license'), join(directory, 'license'));
  for (const name of files.map((file) => join(outDir, file))) {
    const toBundle = relative(dirname(name), directory).replaceAll(sep, '/');
    const text = readFileSync(name, 'utf8');
    const changed = text.replace(/(?<=\bfrom ')typebox(?:\/\w+)?(?=';)/g, (entry) => {
      const number = ENTRIES.indexOf(entry);
      if (number < 0) throw new Error(`${name} imports ${entry}, which is not bundled`);
      return `${toBundle}/${number}.mjs`;
    });
    if (changed !== text) writeFileSync(name, changed);
  }
}

// What an earlier build left must not be published.
rmSync(outDir, { recursive: true, force: true });
const { status } = spawnSync(
  process.execPath,
  [compiler, '-p', join(root, 'tsconfig.build.json'), '--outDir', outDir],
  { stdio: 'inherit' },
);
if (status === 0) {
  await useOneTypebox();
  chmodSync(join(outDir, 'src/bin/sync-coordinator.js'), 0o755);
} else {
  process.exitCode = status ?? 1;
}
