/**
 * B: transactions of one change, as many as are acknowledged, against an echo of the same messages.
 * Beside it, as many as a server acknowledges that does as little with them as can be.
 */

import type { Figure } from '../lib/figure.ts';
import { cpuMsOf } from '../lib/process-usage.ts';
import type { Program } from '../lib/program.ts';
import type { RunContext } from '../lib/run-context.ts';
import { median, medianRatio } from '../lib/statistics.ts';
import type { BareWriter } from '../limits/bare-writer.ts';
import type { EchoLimit } from '../limits/echo.ts';
import type { ApplyLoad } from '../load/apply.ts';

const CONNECTIONS = 8;
const IN_FLIGHT = 8;
const WARM_UPS = 2;
const ROUNDS = 5;

interface Subject {
  load: Program<ApplyLoad>;
  pid: number;
  perSecond: number[];
  cpuUs: number[];
}

async function subject(
  context: RunContext,
  { pid, url, databaseIds }: { pid: number; url: string; databaseIds?: string[] },
): Promise<Subject> {
  const load = await context.program<ApplyLoad>('load/apply.ts');
  await load.call('connect', { url, databaseIds, connections: CONNECTIONS });
  return { load, pid, perSecond: [], cpuUs: [] };
}

export const roundTrips: Figure = {
  letters: ['B'],
  name: 'round-trips',
  async run(context) {
    const databaseIds = Array.from({ length: CONNECTIONS }, (_, i) => `own-${i}`);
    const server = await context.server({ profileName: 'B.cpuprofile' });
    const echo = await context.program<EchoLimit>('limits/echo.ts');
    const bare = await context.program<BareWriter>('limits/bare-writer.ts');
    const bareUrl = await bare.call('listen', { directory: context.newDirectory() });
    const toServer = await subject(context, { pid: server.pid, url: server.wsUrl, databaseIds });
    const toEcho = await subject(context, { pid: echo.pid, url: await echo.call('listen') });
    const toBare = await subject(context, { pid: bare.pid, url: bareUrl, databaseIds });
    const round = { shape: { changes: 1 }, messages: context.count(2000, 10) };
    const transactions = round.messages * CONNECTIONS;
    // The first rounds warm up.
    for (let i = -WARM_UPS; i < ROUNDS; i++) {
      for (const { load, pid, perSecond, cpuUs } of [toServer, toEcho, toBare]) {
        await load.call('prepare', round);
        const before = cpuMsOf(pid);
        const { elapsedMs } = await load.call('run', { inFlight: IN_FLIGHT });
        if (i < 0) continue;
        cpuUs.push(((cpuMsOf(pid) - before) * 1000) / transactions);
        perSecond.push(transactions / (elapsedMs / 1000));
      }
    }
    const toRow = ({ perSecond, cpuUs }: Subject) => ({
      unit: '/s',
      measured: median(perSecond),
      limit: median(toEcho.perSecond),
      limitOf: 'bare ws echo round trips',
      ratio: medianRatio(perSecond, toEcho.perSecond),
      details: { 'CPU µs': median(cpuUs) },
    });
    return [
      {
        figure: 'B',
        what: 'transactions of 1 change, 8 connections with 8 in flight, acknowledged',
        ...toRow(toServer),
        target: { atLeast: 1 / 3 },
      },
      {
        figure: 'B bare',
        what: 'the same by a bare server that parses, writes and syncs them',
        ...toRow(toBare),
        target: { better: 'more' },
      },
    ];
  },
};
