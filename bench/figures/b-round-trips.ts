/** B: transactions of one change, as many as are acknowledged, against an echo of the same messages. */

import type { Figure } from '../lib/figure.ts';
import { median, medianRatio } from '../lib/statistics.ts';
import type { EchoLimit } from '../limits/echo.ts';
import type { ApplyLoad } from '../load/apply.ts';

const CONNECTIONS = 8;
const IN_FLIGHT = 8;
const ROUNDS = 5;

export const roundTrips: Figure = {
  letters: ['B'],
  name: 'round-trips',
  async run(context) {
    const server = await context.server({ profileName: 'B.cpuprofile' });
    const echo = await context.program<EchoLimit>('limits/echo.ts');
    const toServer = await context.program<ApplyLoad>('load/apply.ts');
    const toEcho = await context.program<ApplyLoad>('load/apply.ts');
    const databaseIds = Array.from({ length: CONNECTIONS }, (_, i) => `own-${i}`);
    await toServer.call('connect', { url: server.wsUrl, databaseIds, connections: CONNECTIONS });
    await toEcho.call('connect', { url: await echo.call('listen'), connections: CONNECTIONS });
    const round = { shape: { changes: 1 }, messages: context.count(2000, 10) };
    const perSecond: number[] = [];
    const limits: number[] = [];
    const cpuUs: number[] = [];
    // The first round warms up.
    for (let i = 0; i <= ROUNDS; i++) {
      const before = server.cpuMs();
      for (const [load, rates] of [
        [toServer, perSecond],
        [toEcho, limits],
      ] as const) {
        await load.call('prepare', round);
        const { elapsedMs } = await load.call('run', { inFlight: IN_FLIGHT });
        if (i > 0) rates.push((round.messages * CONNECTIONS) / (elapsedMs / 1000));
      }
      cpuUs.push(((server.cpuMs() - before) * 1000) / (round.messages * CONNECTIONS));
    }
    return [
      {
        figure: 'B',
        what: 'transactions of 1 change, 8 connections with 8 in flight, acknowledged',
        unit: '/s',
        measured: median(perSecond),
        limit: median(limits),
        limitOf: 'bare ws echo round trips',
        ratio: medianRatio(perSecond, limits),
        target: { atLeast: 1 / 3 },
        details: { 'CPU µs': median(cpuUs.slice(1)) },
      },
    ];
  },
};
