/**
 * What takes longer than a developer waits: `npm run proof`.
 *
 * First all `*.proof.ts`, each in a process of its own; then once more those of `npm test` that draw
 * their cases, with many more of them. What fails among these prints its seed.
 *
 *     npm run proof                              all
 *     npm run proof -- test/cli                  some
 *     npm run proof -- --list                    says which they are
 *     npm run proof -- --test-name-pattern=kill  other flags are Node's own
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runTests } from './run-tests.mjs';
import { findTests, LOOP, PROOF } from './test-files.mjs';

/** What `npm test` draws, times this. */
const TEST_RUNS = process.env.TEST_RUNS ?? '100';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const args = process.argv.slice(2);
const flags = args.filter((arg) => arg.startsWith('-') && arg !== '--list');
const named = args.filter((arg) => !arg.startsWith('-'));
const paths = named.length > 0 ? named : ['test', 'packages'];

const drawsCases = (file) => readFileSync(file, 'utf8').includes("/support/runs.ts'");
const proofs = findTests(paths, PROOF).filter((file) => !file.endsWith(LOOP));
const drawing = findTests(paths, LOOP).filter((file) => file.endsWith(LOOP) && drawsCases(file));

const steps = [
  { what: `*${PROOF}`, files: proofs, env: {} },
  { what: `${TEST_RUNS} times the cases`, files: drawing, env: { TEST_RUNS } },
];
if (steps.every(({ files }) => files.length === 0)) {
  process.stderr.write(`nothing to prove in ${paths.join(', ')}\n`);
  process.exitCode = 1;
}
for (const { what, files, env } of steps) {
  if (files.length === 0) continue;
  process.stdout.write(`\n== ${what}: ${files.length} files\n`);
  if (args.includes('--list')) process.stdout.write(`${files.join('\n')}\n`);
  else if ((await runTests(files, { flags, env })) !== 0) process.exitCode = 1;
}
