import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../support/server.ts';

const GROUP = new URL('../../scripts/test-group.mjs', import.meta.url).href;

/** Runs the files as `npm test` runs a group, and takes what Node says of it. */
function runGroup(files: Record<string, string>, timeoutMs = 60_000) {
  const directory = temporaryDirectory();
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  const list = JSON.stringify(Object.keys(files));
  const entry = `import { describeFiles } from '${GROUP}';\ndescribeFiles(${list}, ${timeoutMs});\n`;
  writeFileSync(join(directory, 'entry.mjs'), entry);
  const { NODE_TEST_CONTEXT: _ours, TEST_COSTS_FILE: _none, ...env } = process.env;
  const args = ['--test-reporter=tap', 'entry.mjs'];
  const { status, stdout } = spawnSync(process.execPath, args, {
    cwd: directory,
    encoding: 'utf8',
    env,
  });
  return {
    status,
    outcomes: [...stdout.matchAll(/^ *((?:not )?ok) \d+ - (.+)$/gm)].map(
      ([, ok, name]) => `${name}: ${ok}`,
    ),
  };
}

const IMPORT = `import { after, before, beforeEach, test } from 'node:test';\n`;

test('files that share a process are told apart, in what fails and in their hooks', () => {
  const hooks = `let asked = 0;\nbefore(() => asked++);\nbeforeEach(() => asked++);\n`;
  const { status, outcomes } = runGroup({
    'a.test.mjs': `${IMPORT}${hooks}test('counts', () => { if (asked !== 2) throw new Error(); });\n`,
    'b.test.mjs': `${IMPORT}test('fails', () => { throw new Error(); });\n`,
    'c.test.mjs': `${IMPORT}${hooks}test('counts', () => { if (asked !== 2) throw new Error(); });\n`,
  });
  assert.deepEqual(outcomes, [
    ...['counts: ok', 'a.test.mjs: ok'],
    ...['fails: not ok', 'b.test.mjs: not ok'],
    ...['counts: ok', 'c.test.mjs: ok'],
  ]);
  assert.equal(status, 1);
});

test('a file that cannot be imported, or hangs, fails under its name, and the others run', () => {
  const { status, outcomes } = runGroup(
    {
      'missing.test.mjs': `import './nowhere.mjs';\n`,
      'hanging.test.mjs': `${IMPORT}test('hangs', () => new Promise((resolve) => setTimeout(resolve, 2500)));\n`,
      'well.test.mjs': `${IMPORT}test('is well', () => {});\n`,
    },
    1000,
  );
  assert.deepEqual(outcomes, [
    'missing.test.mjs: not ok',
    ...['hangs: not ok', 'hanging.test.mjs: not ok'],
    ...['is well: ok', 'well.test.mjs: ok'],
  ]);
  assert.equal(status, 1);
});
