/**
 * Preloaded in every process of the tests: has `typebox` come out of one file instead of its 683,
 * which is most of what a process here imports, and takes each a second of CPU with tsx.
 */

import Module from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isMainThread } from 'node:worker_threads';

const ENTRIES = ['typebox', 'typebox/value', 'typebox/compile'];
const OUTPUT = fileURLToPath(
  new URL('../node_modules/.cache/sync-coordinator/typebox/', import.meta.url),
);
const urls = new Map(
  ENTRIES.map((entry, i) => [entry, pathToFileURL(join(OUTPUT, `${i}.mjs`)).href]),
);

/** Each file is called by its number among the entries. */
async function bundleTypebox() {
  const { build } = await import('esbuild');
  await build({
    entryPoints: ENTRIES.map((entry, i) => ({ in: entry, out: String(i) })),
    outdir: OUTPUT,
    outExtension: { '.js': '.mjs' },
    ...{ bundle: true, splitting: true, format: 'esm', platform: 'node' },
    nodePaths: [fileURLToPath(new URL('../node_modules', import.meta.url))],
  });
}

/** @returns what `NODE_OPTIONS` must hold for them to be used */
export async function preloadTypebox() {
  await bundleTypebox();
  return `--import=${import.meta.url}`;
}

/** Node calls it for each import; an older one in a thread of its own. */
export function resolve(specifier, context, nextResolve) {
  const url = urls.get(specifier);
  return url === undefined
    ? nextResolve(specifier, context)
    : { url, format: 'module', shortCircuit: true };
}

if (isMainThread && process.env.NODE_OPTIONS?.includes(import.meta.url)) {
  if (Module.registerHooks === undefined) Module.register(import.meta.url);
  else Module.registerHooks({ resolve });
}
