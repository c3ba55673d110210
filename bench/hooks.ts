/**
 * What hooks cost: applies with five no-op hooks of each kind against applies without any, in
 * one run. The servers take turns, so that whatever else the machine does befalls both.
 *
 *     npm run bench -- hooks
 */

import { fileURLToPath } from 'node:url';
import { type ApplyLoad, applyLoad } from './lib/apply-load.ts';
import { type ServerProcess, startServerProcess } from './lib/server-process.ts';

const MODULES = 5;
const ROUNDS = 9;
const LOADS: Record<string, ApplyLoad> = {
  'transactions of 100 changes': {
    connections: 8,
    inFlight: 8,
    changesPerTransaction: 100,
    transactionsPerConnection: 150,
  },
  'transactions of 1 change': {
    connections: 8,
    inFlight: 8,
    changesPerTransaction: 1,
    transactionsPerConnection: 2000,
  },
};

interface Contender {
  name: string;
  server: ServerProcess;
  elapsedMs: number[];
  cpuMs: number[];
}

async function start(name: string, module?: string): Promise<Contender> {
  const path = module && fileURLToPath(new URL(`./hooks/${module}`, import.meta.url));
  const hooks = path === undefined ? [] : Array.from({ length: MODULES }, () => path);
  return { name, server: await startServerProcess({ hooks }), elapsedMs: [], cpuMs: [] };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function round({ server, elapsedMs, cpuMs }: Contender, load: ApplyLoad): Promise<void> {
  const before = server.cpuMs();
  elapsedMs.push(await applyLoad(server.wsUrl, load));
  cpuMs.push(server.cpuMs() - before);
}

export async function benchHooks(): Promise<void> {
  for (const [what, load] of Object.entries(LOADS)) {
    const contenders = [
      await start('no hooks'),
      await start('five of each kind', 'no-op.mjs'),
      await start('five of each kind, async', 'no-op-async.mjs'),
    ];
    // The first round warms up.
    for (let i = 0; i <= ROUNDS; i++) {
      // Each is the first as often as the others.
      const turn = i % contenders.length;
      const order = [...contenders.slice(turn), ...contenders.slice(0, turn)];
      for (const contender of order) await round(contender, load);
    }
    const [none] = contenders;
    const rows = contenders.map(({ name, elapsedMs, cpuMs }) => {
      const [elapsed, cpu] = [median(elapsedMs.slice(1)), median(cpuMs.slice(1))];
      const changes =
        load.connections * load.transactionsPerConnection * load.changesPerTransaction;
      return {
        name,
        'changes/s': Math.round(changes / (elapsed / 1000)),
        'us of CPU a change': Number(((cpu * 1000) / changes).toFixed(2)),
        throughput: Number((median(none?.elapsedMs.slice(1) ?? []) / elapsed).toFixed(3)),
        'CPU ratio': Number((median(none?.cpuMs.slice(1) ?? []) / cpu).toFixed(3)),
      };
    });
    process.stdout.write(`\n${what}, ${load.connections} databases\n`);
    console.table(rows);
    for (const { server } of contenders) await server.stop();
  }
}
