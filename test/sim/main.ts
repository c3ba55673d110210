/**
 * Runs simulations, each from a seed of its own:
 *
 *     npm run sim -- --seed 1 --runs 100
 *
 * `--seed 2,6,9` takes several, each with the `--runs` that follow it.
 * `--nodes 3` shares one store among three coordinators, as in PostgreSQL.
 * `--ddl one` has one device make, drop and rename tables, `all` has each of them do so, `none` nobody;
 * without it that hangs on the seed.
 * `--hooks move` has hooks rewrite changes and move them elsewhere, `refuse` only refuse some; without it
 * that hangs on the seed.
 * `--held some` keeps little of what devices hold that was refused, `none` next to nothing, `all` all of it;
 * without it that hangs on the seed.
 * `--authors known` has the coordinator reject what others have dated, and some devices forge that;
 * without it all is accepted.
 * `--clients sdk` takes the published client for all devices, `mixed` for some, `wire` (so without it) for
 * none: then they are models of what is older.
 * `--trace TEXT` prints what was said and stored that holds the text, `--verbose` what each run did.
 * A seed that fails is printed with what it found; `--seed N` alone runs it again, the same way.
 */

import { parseArgs } from 'node:util';
import { HOOKS_MODES, type HooksMode, seedToHooksMode } from './rules.ts';
import {
  CLIENTS_MODES,
  type ClientsMode,
  HELD_MODES,
  type HeldMode,
  seedToHeldMode,
  simulate,
} from './simulation.ts';
import { DDL_MODES, type DdlMode, seedToDdlMode } from './table-names.ts';
import { traceOnly } from './trace.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    runs: { type: 'string', default: '1' },
    nodes: { type: 'string', default: '1' },
    ddl: { type: 'string' },
    hooks: { type: 'string' },
    held: { type: 'string' },
    authors: { type: 'string', default: 'accept' },
    clients: { type: 'string' },
    trace: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
});
traceOnly(values.trace);
const starts = values.seed.split(',').map(Number);
const runs = Number(values.runs);
const nodes = Number(values.nodes);
if (![...starts, runs, nodes].every(Number.isSafeInteger) || runs < 1 || nodes < 1) {
  process.stderr.write('--seed, --runs and --nodes are whole numbers\n');
  process.exit(2);
}
function toMode<Mode extends string>(
  option: string,
  modes: readonly Mode[],
  ofSeed: (seed: number) => Mode,
): (seed: number) => Mode {
  const said: string | undefined = Reflect.get(values, option);
  if (said === undefined) return ofSeed;
  const mode = modes.find((each) => each === said);
  if (mode !== undefined) return () => mode;
  process.stderr.write(`--${option} is one of ${modes.join(', ')}\n`);
  process.exit(2);
}
const ddlOf = toMode<DdlMode>('ddl', DDL_MODES, seedToDdlMode);
const hooksOf = toMode<HooksMode>('hooks', HOOKS_MODES, seedToHooksMode);
const heldOf = toMode<HeldMode>('held', HELD_MODES, seedToHeldMode);
const clientsOf = toMode<ClientsMode>('clients', CLIENTS_MODES, () => 'wire');
const foreignAuthors = values.authors;
if (foreignAuthors !== 'accept' && foreignAuthors !== 'known') {
  process.stderr.write('--authors is accept or known\n');
  process.exit(2);
}
const seeds = starts.flatMap((start) => Array.from({ length: runs }, (_, i) => start + i));
let failed = 0;
for (const seed of seeds) {
  try {
    const statistics = await simulate({
      ...{ seed, nodes, ddl: ddlOf(seed), hooks: hooksOf(seed), foreignAuthors },
      held: heldOf(seed),
      clients: clientsOf(seed),
    });
    if (values.verbose) process.stdout.write(`seed ${seed}: ${JSON.stringify(statistics)}\n`);
  } catch (error) {
    failed++;
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stdout.write(
      `seed ${seed} (--ddl ${ddlOf(seed)} --hooks ${hooksOf(seed)} --held ${heldOf(seed)}) failed: ${reason}\n`,
    );
  }
}
process.stdout.write(`${seeds.length - failed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 ? 1 : 0;
