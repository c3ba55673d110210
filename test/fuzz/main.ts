/**
 * Fuzzes for longer than `npm test` does: 100 times as long, unless told otherwise.
 *
 *     npm run test:fuzz -- --runs 300
 *     npm run test:fuzz -- --seed 7 test/fuzz/config.test.ts
 *
 * `--runs` multiplies the budget of every property, `--seed` repeats a run.
 */

import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string', default: '100' }, seed: { type: 'string' } },
});
const { runs, seed = String(Date.now() % 2 ** 31) } = values;
if (!/^\d+$/.test(runs) || !/^-?\d+$/.test(seed)) {
  process.stderr.write('--runs and --seed are whole numbers\n');
  process.exit(2);
}
process.stdout.write(`seed ${seed}, ${runs} times the budget of npm test\n`);
const files = positionals.length > 0 ? positionals : ['test/fuzz'];
const child = spawn(
  process.execPath,
  ['scripts/proof.mjs', `--test-timeout=${Number(runs) * 120_000}`, ...files],
  { stdio: 'inherit', env: { ...process.env, TEST_RUNS: runs, FUZZ_SEED: seed } },
);
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
