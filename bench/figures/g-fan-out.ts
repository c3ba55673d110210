/** G, H: what one device writes on its way to 500 others, against a bare broadcast of the same frames. */

import type { Figure } from '../lib/figure.ts';
import { cpuMsOf } from '../lib/process-usage.ts';
import type { RunContext } from '../lib/run-context.ts';
import { median, medianRatio } from '../lib/statistics.ts';
import type { BroadcastLimit } from '../limits/broadcast.ts';
import type { FanOutLoad } from '../load/fan-out.ts';

const LISTENERS = 500;
const PER_SECOND = 50;
const IN_FLIGHT = 8;
const ROUNDS = 3;

async function start(context: RunContext, profileName: string) {
  const server = await context.server({ profileName });
  const bare = await context.program<BroadcastLimit>('limits/broadcast.ts');
  const toServer = await context.program<FanOutLoad>('load/fan-out.ts');
  const toBare = await context.program<FanOutLoad>('load/fan-out.ts');
  const listeners = context.count(LISTENERS, 20);
  await toServer.call('connect', { url: server.wsUrl, databaseId: 'one', listeners });
  await toBare.call('connect', { url: await bare.call('listen'), listeners });
  return { server, bare, toServer, toBare, listeners };
}

export const fanOut: Figure = {
  letters: ['G'],
  name: 'fan-out',
  async run(context) {
    const { toServer, toBare } = await start(context, 'G.cpuprofile');
    const pace = { perSecond: PER_SECOND, transactions: context.count(150, 20) };
    const p99: number[] = [];
    const p50: number[] = [];
    const limits: number[] = [];
    const limits50: number[] = [];
    // The first round warms up.
    for (let i = 0; i <= ROUNDS; i++) {
      const pushed = await toServer.call('paced', pace);
      const broadcast = await toBare.call('paced', pace);
      if (i === 0) continue;
      p99.push(pushed.p99Ms);
      p50.push(pushed.p50Ms);
      limits.push(broadcast.p99Ms);
      limits50.push(broadcast.p50Ms);
    }
    return [
      {
        figure: 'G',
        what: 'a push to 500 listeners at 50 transactions/s, p99',
        unit: 'ms',
        measured: median(p99),
        limit: median(limits),
        limitOf: 'bare broadcast',
        ratio: medianRatio(p99, limits),
        target: { atMost: 3 },
        details: { 'p50 ms': median(p50), 'bare p50 ms': median(limits50) },
      },
    ];
  },
};

export const flood: Figure = {
  letters: ['H'],
  name: 'flood',
  async run(context) {
    const { server, bare, toServer, toBare, listeners } = await start(context, 'H.cpuprofile');
    const transactions = context.count(600, 50);
    const sends = transactions * listeners;
    const sides = [
      { pid: server.pid, load: toServer },
      { pid: bare.pid, load: toBare },
    ].map((side) => ({
      ...side,
      perSecond: [] as number[],
      cpuUs: [] as number[],
      busy: [] as number[],
      frames: [] as number[],
    }));
    // The first round warms up.
    for (let i = 0; i <= ROUNDS; i++) {
      for (const { pid, load, perSecond, cpuUs, busy, frames } of sides) {
        const before = cpuMsOf(pid);
        const flooded = await load.call('flood', { inFlight: IN_FLIGHT, transactions });
        const cpuMs = cpuMsOf(pid) - before;
        if (i === 0) continue;
        perSecond.push(sends / (flooded.elapsedMs / 1000));
        cpuUs.push((cpuMs * 1000) / sends);
        busy.push(cpuMs / flooded.elapsedMs);
        frames.push(flooded.frames / sends);
      }
    }
    const [pushed, broadcast] = sides;
    const rates = [pushed?.perSecond ?? [], broadcast?.perSecond ?? []] as const;
    return [
      {
        figure: 'H',
        what: 'transactions delivered to 500 listeners, 8 in flight',
        unit: '/s',
        measured: median(rates[0]),
        limit: median(rates[1]),
        limitOf: 'bare broadcast',
        ratio: medianRatio(...rates),
        target: { atLeast: 0.85 },
        details: {
          'CPU µs a delivery': median(pushed?.cpuUs ?? []),
          'CPU µs of the bare one': median(broadcast?.cpuUs ?? []),
          'frames a delivery': median(pushed?.frames ?? []),
          'cores busy': median(pushed?.busy ?? []),
          'of the bare one': median(broadcast?.busy ?? []),
        },
      },
    ];
  },
};
