/**
 * The proofs that take longer than a developer waits: `npm run proof`. They are those of `npm test`
 * with more seeds; what fails prints its seed.
 */

import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

const SIMULATIONS = 800;
const SIMULATIONS_OF_NODES = 60;
const NODES = 3;
const TABLE_SEEDS = 500;

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

/** @returns whether it ended well */
function run(args, env = {}) {
  const child = spawn(process.execPath, ['--import', 'tsx', ...args], {
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  return new Promise((resolve) => child.once('exit', (code) => resolve(code === 0)));
}

/** So many seeds, shared out among the cores. */
async function simulate(seeds, nodes) {
  const shares = availableParallelism();
  const runs = Math.ceil(seeds / shares);
  const all = Array.from({ length: shares }, (_, i) => {
    const numbers = { seed: 1 + i * runs, runs, nodes };
    const options = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, `${value}`]);
    return run(['test/sim/main.ts', ...options]);
  });
  return (await Promise.all(all)).every((isWell) => isWell);
}

const steps = [
  [`${SIMULATIONS} simulations`, () => simulate(SIMULATIONS, 1)],
  [
    `${SIMULATIONS_OF_NODES} simulations of ${NODES} nodes`,
    () => simulate(SIMULATIONS_OF_NODES, NODES),
  ],
  [
    `${TABLE_SEEDS} seeds of tables`,
    () =>
      run(['--test', 'test/engine/table-properties.test.ts'], { TABLE_SEEDS: `${TABLE_SEEDS}` }),
  ],
];
for (const [what, prove] of steps) {
  process.stdout.write(`\n== ${what}\n`);
  if (await prove()) continue;
  process.stdout.write(`${what}: failed\n`);
  process.exitCode = 1;
}
