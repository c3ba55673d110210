/**
 * Builds what is published: `node scripts/build.mjs [directory]`, else into `dist`.
 * With `--files` each module stays a file, for those that count them.
 * Plain JavaScript, because `prepare` runs it.
 */

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const args = process.argv.slice(2);
const outDir = resolve(args.find((arg) => !arg.startsWith('-')) ?? join(root, 'dist'));
const compiler = join(
  dirname(createRequire(import.meta.url).resolve('tsc/package.json')),
  'bin/tsc',
);
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** A module that is loaded by its path. */
const LOADED = './dist/src/modules/own-package-hook.js';
/** Where those are that go by their own place, as `own-package.ts` does: all chunks are beside them. */
const PLACED = 'src/modules';
/** Its 683 files come with ours. */
const BUNDLED = 'typebox';

/** What can be imported, and run. */
function entries() {
  const targets = Object.values(manifest.exports).map(({ default: target }) => target);
  return [...Object.values(manifest.bin), ...targets, LOADED].filter(
    (target) => target !== undefined,
  );
}

/**
 * Finding, reading and compiling a thousand files is a third of the time until the server listens. They become few, which
 * the command and all that can be imported share: there is one copy of each module.
 */
async function bundle() {
  const { build } = await import('esbuild');
  const dependencies = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies });
  const written = readdirSync(outDir, { recursive: true }).filter((name) => name.endsWith('.js'));
  const { outputFiles, metafile } = await build({
    entryPoints: entries().map((target) => join(outDir, relative('./dist', target))),
    ...{ outdir: outDir, outbase: outDir, chunkNames: `${PLACED}/[name]-[hash]` },
    ...{ bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node20.19' },
    external: dependencies
      .filter((name) => name !== BUNDLED)
      .flatMap((name) => [name, `${name}/*`]),
    nodePaths: [join(root, 'node_modules')],
    ...{ keepNames: true, legalComments: 'none', metafile: true, write: false },
  });
  refuseMisplaced(metafile);
  for (const name of written) rmSync(join(outDir, name));
  for (const { path, contents } of outputFiles) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, contents);
  }
  mkdirSync(join(outDir, BUNDLED), { recursive: true });
  copyFileSync(join(root, `node_modules/${BUNDLED}/license`), join(outDir, BUNDLED, 'license'));
}

/** A module that goes by its own place must not have come to another one. */
function refuseMisplaced({ outputs }) {
  for (const [file, { inputs }] of Object.entries(outputs)) {
    const isPlaced = Object.keys(inputs).some((input) =>
      dirname(input).split(sep).join('/').endsWith(PLACED),
    );
    if (isPlaced && !dirname(file).split(sep).join('/').endsWith(PLACED)) {
      throw new Error(`${file} has modules of ${PLACED}, which go by where they are`);
    }
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
  if (!args.includes('--files')) await bundle();
  chmodSync(join(outDir, 'src/bin/sync-coordinator.js'), 0o755);
} else {
  process.exitCode = status ?? 1;
}
