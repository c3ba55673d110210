/**
 * Runs the tests: all of them, or those of the named files and directories.
 *
 *     npm test                                  everything
 *     npm test -- test/engine test/cli/check.test.ts
 *     npm test -- --test-name-pattern=snapshot   other flags are Node's own
 */

import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleTypebox } from './one-typebox.mjs';

/** The longest, the simulations, take three minutes on two cores that do other things as well. */
const FILE_TIMEOUT_MS = 600_000;
const SUFFIX = '.test.ts';

/** Tests that start the command start what is published. @returns whether it is there */
function buildUnlessFresh() {
  const builtAt = statSync('dist/src/bin/sync-coordinator.js', { throwIfNoEntry: false })?.mtimeMs;
  const inputs = ['src', 'plugins'].flatMap((path) =>
    readdirSync(path, { recursive: true }).map((name) => join(path, name)),
  );
  inputs.push('package.json', 'tsconfig.json', 'tsconfig.build.json');
  if (builtAt !== undefined && inputs.every((path) => statSync(path).mtimeMs < builtAt))
    return true;
  return spawnSync(process.execPath, ['scripts/build.mjs'], { stdio: 'inherit' }).status === 0;
}

/** Node's own globs need a later Node than the oldest that is supported. */
function findTests(path) {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [path];
  return readdirSync(path, { recursive: true })
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => join(path, name))
    .sort();
}

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const args = process.argv.slice(2);
const flags = args.filter((arg) => arg.startsWith('-'));
const paths = args.filter((arg) => !arg.startsWith('-'));
const files = (paths.length > 0 ? paths : ['test']).flatMap(findTests);
if (files.length === 0) {
  process.stderr.write(`no *${SUFFIX} in ${paths.join(', ')}\n`);
  process.exitCode = 1;
} else if (!buildUnlessFresh()) {
  process.exitCode = 1;
} else {
  const concurrency = `--test-concurrency=${availableParallelism()}`;
  // A file that hangs is a failure with a name, not a run that never ends.
  const timeout = `--test-timeout=${FILE_TIMEOUT_MS}`;
  const run = ['--import', 'tsx', '--test', '--test-reporter=spec', concurrency, timeout];
  const NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} ${await bundleTypebox()}`;
  const child = spawn(process.execPath, [...run, ...flags, ...files], {
    env: { ...process.env, NODE_OPTIONS },
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code) => {
    process.exitCode = code ?? 1;
  });
}
