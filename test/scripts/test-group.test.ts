import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/server.ts';

const GROUP = new URL('../../scripts/test-group.mjs', import.meta.url).href;

interface Options {
  takenMax?: number;
  isChosen?: boolean;
  timeoutMs?: number;
  /** Node's own. */
  flags?: string[];
  processes?: number;
}

/** Runs the files as `npm test` does, and takes what Node says of them in each process. */
async function runProcesses(
  files: Record<string, string>,
  { takenMax = 10, isChosen = false, timeoutMs = 60_000, flags = [], processes = 1 }: Options = {},
) {
  const directory = temporaryDirectory();
  for (const [name, source] of Object.entries(files)) writeFileSync(join(directory, name), source);
  mkdirSync(join(directory, 'taken'));
  const groups = JSON.stringify(Object.keys(files).map((file) => [file]));
  const how = JSON.stringify({ taken: 'taken', takenMax, isChosen, timeoutMs });
  const entry = `import { describeFiles } from '${GROUP}';\nawait describeFiles(${groups}, ${how});\n`;
  writeFileSync(join(directory, 'entry.mjs'), entry);
  const { NODE_TEST_CONTEXT: _ours, TEST_COSTS_FILE: _none, ...env } = process.env;
  const args = [...flags, '--test-reporter=tap', 'entry.mjs'];
  return Promise.all(
    Array.from({ length: processes }, async () => {
      const stdio = ['ignore', 'pipe', 'inherit'] as const;
      const child = spawn(process.execPath, args, { cwd: directory, env, stdio: [...stdio] });
      const ended = new Promise((resolve) => child.once('close', resolve));
      const said = await text(child.stdout);
      const lines = [...said.matchAll(/^ *((?:not )?ok) \d+ - (.+?)( # SKIP.*)?$/gm)];
      const outcomes = lines.flatMap(([, ok, name, skipped]) =>
        skipped === undefined ? [`${name}: ${ok}`] : [],
      );
      return { status: await ended, outcomes };
    }),
  );
}

const IMPORT = `import { after, before, beforeEach, test } from 'node:test';\n`;
const WELL = `${IMPORT}test('is well', () => {});\n`;

test('files that share a process are told apart, in what fails and in their hooks', async () => {
  const hooks = `let asked = 0;\nbefore(() => asked++);\nbeforeEach(() => asked++);\n`;
  const [result] = await runProcesses({
    'a.test.mjs': `${IMPORT}${hooks}test('counts', () => { if (asked !== 2) throw new Error(); });\n`,
    'b.test.mjs': `${IMPORT}test('fails', () => { throw new Error(); });\n`,
    'c.test.mjs': `${IMPORT}${hooks}test('counts', () => { if (asked !== 2) throw new Error(); });\n`,
  });
  assert.deepEqual(result?.outcomes, [
    ...['counts: ok', 'a.test.mjs: ok'],
    ...['fails: not ok', 'b.test.mjs: not ok'],
    ...['counts: ok', 'c.test.mjs: ok'],
  ]);
  assert.equal(result.status, 1);
});

test('a file that cannot be imported or set up, or hangs, fails under its name, and the others run', async () => {
  const [result] = await runProcesses(
    {
      'missing.test.mjs': `import './nowhere.mjs';\n`,
      'unset.test.mjs': `${IMPORT}before(() => { throw new Error(); });\ntest('is set up', () => {});\n`,
      'hanging.test.mjs': `${IMPORT}test('hangs', () => new Promise((resolve) => setTimeout(resolve, 2500)));\n`,
      'well.test.mjs': WELL,
    },
    { timeoutMs: 1000 },
  );
  assert.deepEqual(result?.outcomes, [
    'missing.test.mjs: not ok',
    ...['is set up: not ok', 'unset.test.mjs: not ok'],
    ...['hangs: not ok', 'hanging.test.mjs: not ok'],
    ...['is well: ok', 'well.test.mjs: ok'],
  ]);
  assert.equal(result.status, 1);
});

test('processes that share a list run each file once, and none takes more than it may', async () => {
  const names = Array.from({ length: 12 }, (_, i) => `${i}.test.mjs`);
  const files = Object.fromEntries(names.map((name) => [name, WELL]));
  const results = await runProcesses(files, { processes: 3, takenMax: 5 });
  assert.deepEqual(
    results.map(({ status }) => status),
    [0, 0, 0],
  );
  const ran = results.map(({ outcomes }) => outcomes.filter((text) => text.includes('.test.mjs')));
  assert.deepEqual(ran.flat().sort(), names.map((name) => `${name}: ok`).sort());
  assert.ok(ran.every(({ length }) => length <= 5));
});

test('flags choose among the tests of all files', async () => {
  const files = { 'a.test.mjs': WELL, 'b.test.mjs': `${WELL}test('is chosen', () => {});\n` };
  const flags = ['--test-name-pattern=chosen'];
  const [result] = await runProcesses(files, { isChosen: true, flags });
  assert.deepEqual(
    result?.outcomes.filter((text) => !text.startsWith('a.test.mjs')),
    ['is chosen: ok', 'b.test.mjs: ok'],
  );
});
