/** Simulations as the command line asks for them. */

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

/** @returns that of the option, or of the seed where nothing was said */
function toMode<Mode extends string>(
  option: string,
  said: string | undefined,
  modes: readonly Mode[],
  ofSeed: (seed: number) => Mode,
): (seed: number) => Mode {
  if (said === undefined) return ofSeed;
  const mode = modes.find((each) => each === said);
  if (mode === undefined) throw new RangeError(`--${option} is one of ${modes.join(', ')}`);
  return () => mode;
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
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
  const starts = values.seed.split(',').map(Number);
  const runs = Number(values.runs);
  const nodes = Number(values.nodes);
  if (![...starts, runs, nodes].every(Number.isSafeInteger) || runs < 1 || nodes < 1) {
    throw new RangeError('--seed, --runs and --nodes are whole numbers');
  }
  const foreignAuthors = (['accept', 'known'] as const).find((each) => each === values.authors);
  if (foreignAuthors === undefined) throw new RangeError('--authors is accept or known');
  if (values.ddl === 'many' && values.clients !== 'sdk') {
    throw new RangeError(
      '--ddl many is for --clients sdk: devices of before do not promise as much',
    );
  }
  return {
    foreignAuthors,
    ...{ nodes, trace: values.trace, isVerbose: values.verbose },
    seeds: starts.flatMap((start) => Array.from({ length: runs }, (_, i) => start + i)),
    ddlOf: toMode<DdlMode>('ddl', values.ddl, DDL_MODES, seedToDdlMode),
    hooksOf: toMode<HooksMode>('hooks', values.hooks, HOOKS_MODES, seedToHooksMode),
    heldOf: toMode<HeldMode>('held', values.held, HELD_MODES, seedToHeldMode),
    clientsOf: toMode<ClientsMode>('clients', values.clients, CLIENTS_MODES, () => 'wire'),
  };
}

/**
 * @param print takes a line for each seed that failed, and one in the end
 * @returns how many failed
 * @throws RangeError or TypeError for what is no such option
 */
export async function runSimulations(
  args: readonly string[],
  print: (line: string) => void,
): Promise<number> {
  const { seeds, ddlOf, hooksOf, heldOf, clientsOf, ...options } = parse(args);
  const { nodes, foreignAuthors, trace, isVerbose } = options;
  traceOnly(trace);
  let failed = 0;
  for (const seed of seeds) {
    const modes = { ddl: ddlOf(seed), hooks: hooksOf(seed), held: heldOf(seed) };
    try {
      const statistics = await simulate({
        ...{ seed, nodes, foreignAuthors, ...modes },
        clients: clientsOf(seed),
      });
      if (isVerbose) print(`seed ${seed}: ${JSON.stringify(statistics)}`);
    } catch (error) {
      failed++;
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      const { ddl, hooks, held } = modes;
      print(`seed ${seed} (--ddl ${ddl} --hooks ${hooks} --held ${held}) failed: ${reason}`);
    }
  }
  print(`${seeds.length - failed} passed, ${failed} failed`);
  return failed;
}
