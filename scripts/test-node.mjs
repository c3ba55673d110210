/**
 * Runs tests on another Node.js: `npm run test:node -- 26`. Its binary comes from npm, and is kept beside the
 * project's own packages, in the directory for temporary files.
 *
 *     npm run test:node -- 22                     all `*.test.ts`, and all `*.proof.ts`
 *     npm run test:node -- 24 test/cli            some
 *     npm run test:node -- 26 --ci         what depends on Node.js most: what CI runs on each
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runTests } from './run-tests.mjs';
import { findTests, LOOP, PROOF } from './test-files.mjs';

/** Loading modules, the command, what is installed, the stores, and what clients meet. */
const DEPENDING = ['modules', 'config', 'cli', 'package', 'server', 'storage', 'conformance'];
/** Of these the proofs, too: those of the others start PostgreSQL or kill servers, for minutes. */
const PROVEN = ['modules', 'config', 'cli', 'package'];
/** As for `npm test`. */
const FILES_PER_PROCESS = 60;

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const [version = '', ...args] = process.argv.slice(2);
const flags = args.filter((arg) => arg.startsWith('-') && arg !== '--ci');
const named = args.filter((arg) => !arg.startsWith('-'));

if (!/^\d+(\.\d+){0,2}$/.test(version)) fail('which Node.js? npm run test:node -- 26 [test/…]');
else if (isRunning(version)) process.exitCode = await run();
else process.exitCode = runAgain(await install(version));

async function run() {
  const isCi = args.includes('--ci');
  const paths = isCi ? DEPENDING.map((name) => `test/${name}`) : named;
  const places = paths.length > 0 ? paths : ['test'];
  const proven = isCi ? PROVEN.map((name) => `test/${name}`) : places;
  process.stdout.write(`== Node.js ${process.version}: ${places.join(' ')}\n`);
  const loop = findTests(places, LOOP).filter((file) => file.endsWith(LOOP));
  const proofs = findTests(proven, PROOF).filter((file) => file.endsWith(PROOF));
  const codes = [];
  if (loop.length > 0)
    codes.push(await runTests(loop, { flags, filesPerProcess: FILES_PER_PROCESS }));
  if (proofs.length > 0) codes.push(await runTests(proofs, { flags }));
  if (codes.length === 0) return fail(`no tests in ${places.join(', ')}`);
  return codes.find((code) => code !== 0) ?? 0;
}

function isRunning(wanted) {
  return `${process.versions.node}.`.startsWith(`${wanted}.`);
}

/** Whatever the tests start by name is then this Node.js as well. */
function runAgain(node) {
  if (node === undefined) return 1;
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}` };
  const { status } = spawnSync(node, process.argv.slice(1), { env, stdio: 'inherit' });
  return status ?? 1;
}

/** @returns the file, or nothing once it has been said why there is none */
async function install(wanted) {
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const name = `node-${platform}-${process.arch}`;
  const home = join(tmpdir(), `sync-coordinator-${name}-${wanted}`);
  const binary = process.platform === 'win32' ? 'bin/node.exe' : 'bin/node';
  const node = join('node_modules', name, binary);
  if (existsSync(join(home, node))) return join(home, node);
  mkdirSync(tmpdir(), { recursive: true });
  const directory = mkdtempSync(`${home}-`);
  writeFileSync(join(directory, 'package.json'), '{}');
  const asking = ['install', '--no-audit', '--no-fund', '--no-save', `${name}@${wanted}`];
  const { status } = spawnSync('npm', asking, { cwd: directory, stdio: 'inherit', shell: true });
  if (status !== 0 || !existsSync(join(directory, node))) {
    rmSync(directory, { recursive: true, force: true });
    fail(`Node.js ${wanted} could not be had: npm install ${name}@${wanted} failed`);
    return undefined;
  }
  // Whoever was quicker has the same.
  if (!existsSync(home)) renameSync(directory, home);
  else rmSync(directory, { recursive: true, force: true });
  return join(home, node);
}

function fail(text) {
  process.stderr.write(`${text}\n`);
  process.exitCode = 1;
  return 1;
}
