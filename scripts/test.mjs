/**
 * Runs the tests that a developer waits for: all of them, or those of the named files and directories.
 *
 *     npm test                                   all `*.test.ts`
 *     npm test -- test/engine test/cli/check.proof.ts
 *     npm test -- --list                         says which they are
 *     npm test -- --costs                        says in the end what each file costs (Linux)
 *     npm test -- --test-name-pattern=snapshot   other flags are Node's own
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { costsToText, runTests } from './run-tests.mjs';
import { findTests, LOOP } from './test-files.mjs';

/** So many that importing the coordinator for each process costs little, so few that none grows large. */
const FILES_PER_PROCESS = 60;

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const args = process.argv.slice(2);
const OWN_FLAGS = ['--list', '--costs'];
const flags = args.filter((arg) => arg.startsWith('-') && !OWN_FLAGS.includes(arg));
const paths = args.filter((arg) => !arg.startsWith('-'));
const files = findTests(paths.length > 0 ? paths : ['test', 'packages'], LOOP);
if (files.length === 0) {
  process.stderr.write(`no *${LOOP} in ${paths.join(', ')}\n`);
  process.exitCode = 1;
} else if (args.includes('--list')) {
  process.stdout.write(`${files.join('\n')}\n`);
} else {
  const directory = mkdtempSync(join(tmpdir(), 'sync-coordinator-costs-'));
  const costsFile = args.includes('--costs') ? join(directory, 'costs.jsonl') : undefined;
  process.exitCode = await runTests(files, {
    flags,
    filesPerProcess: FILES_PER_PROCESS,
    costsFile,
  });
  if (costsFile !== undefined) process.stdout.write(`${costsToText(costsFile)}\n`);
  rmSync(directory, { recursive: true, force: true });
}
