/** Runs files of tests with Node's runner, several in each process, for `npm test` and `npm run proof`. */

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { preloadTypebox } from './one-typebox.mjs';

/** Of a file among others in its process; all take seconds, but perhaps on a machine that is busy. */
const FILE_TIMEOUT_MS = 600_000;
/** Of a process; a thousand simulations take half an hour on two cores that others use as well. */
const PROCESS_TIMEOUT_MS = 3_000_000;
const GROUP = new URL('./test-group.mjs', import.meta.url).href;
/** Comes before any test: some load it apart, and what is left of that in Node.js 20 spoils a first import. */
const COORDINATOR = new URL('../src/index.ts', import.meta.url).href;

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

/** Of those that have many files one more than there are cores: some wait at any time, for a disk or a deadline. */
function concurrencyOf(filesPerProcess) {
  return availableParallelism() + (filesPerProcess > 1 ? 1 : 0);
}

/** What runs in a browser goes together, and begins first: a process starts one browser for all of it. */
function toGroups(files) {
  const inBrowser = files.filter((file) => file.includes('/browser/'));
  const others = files.filter((file) => !inBrowser.includes(file)).map((file) => [file]);
  return inBrowser.length > 0 ? [inBrowser, ...others] : others;
}

/** @returns what Node is to run: the files themselves, or a module for each process */
function writeEntries(directory, files, filesPerProcess, isChosen) {
  if (filesPerProcess === 1) return files;
  const groups = toGroups(files);
  // The last ones share what is left, so that all cores have work until the end.
  const wanted = Math.ceil(files.length / filesPerProcess) + concurrencyOf(filesPerProcess) - 1;
  const processes = Math.min(groups.length, wanted);
  const takenMax = isChosen ? Math.ceil(files.length / processes) : filesPerProcess;
  const how = { taken: directory, takenMax, isChosen, timeoutMs: FILE_TIMEOUT_MS };
  const args = [groups, how].map((arg) => JSON.stringify(arg, undefined, 2)).join(', ');
  const imports = `import '${COORDINATOR}';\nimport { describeFiles } from '${GROUP}';`;
  const text = `${imports}\n\nawait describeFiles(${args});\n`;
  return Array.from({ length: processes }, (_, i) => {
    const entry = join(directory, `${i + 1}-of-${processes}.mjs`);
    writeFileSync(entry, text);
    return entry;
  });
}

/**
 * @param files relative to the working directory, which is the root of the repository
 * @param flags Node's own
 * @param filesPerProcess more than one only for tests that leave their process as they found it
 * @param costsFile where to write what each file costs, a line of JSON each
 * @returns the exit code
 */
export async function runTests(files, { flags = [], filesPerProcess = 1, costsFile, env = {} }) {
  if (!buildUnlessFresh()) return 1;
  const directory = mkdtempSync(join(tmpdir(), 'sync-coordinator-tests-'));
  let isStopped = false;
  let code;
  try {
    const concurrency = `--test-concurrency=${concurrencyOf(filesPerProcess)}`;
    // What hangs is a failure with a name, not a run that never ends.
    const timeout = `--test-timeout=${PROCESS_TIMEOUT_MS}`;
    const run = ['--import', 'tsx', '--test', '--test-reporter=spec', concurrency, timeout];
    const entries = writeEntries(directory, files, filesPerProcess, flags.length > 0);
    const NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} ${await preloadTypebox()}`;
    const TEST_COSTS_FILE = costsFile;
    const child = spawn(process.execPath, [...run, ...flags, ...entries], {
      env: { ...process.env, ...env, NODE_OPTIONS, TEST_COSTS_FILE },
      stdio: 'inherit',
    });
    for (const signal of ['SIGINT', 'SIGTERM']) {
      process.once(signal, () => {
        isStopped = true;
        child.kill(signal);
      });
    }
    code = await new Promise((resolve) => child.once('exit', resolve));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  // What the caller would run next is not wanted any more.
  if (isStopped) process.exit(1);
  return code ?? 1;
}

/** @returns a table of what was written to the file, the costliest first */
export function costsToText(costsFile) {
  const lines = readFileSync(costsFile, 'utf8').trimEnd().split('\n');
  const costs = lines.map((line) => JSON.parse(line)).sort((a, b) => b.cpu - a.cpu);
  const seconds = (number) => number.toFixed(1).padStart(7);
  const rows = costs.map(({ file, cpu, wall }) => `${seconds(cpu)} ${seconds(wall)}  ${file}`);
  const total = costs.reduce((sum, { cpu }) => sum + cpu, 0);
  return ['CPU and elapsed seconds, imports left out:', ...rows, `${seconds(total)}  in all`].join(
    '\n',
  );
}
