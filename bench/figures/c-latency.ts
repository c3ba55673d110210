/** C: how long one transaction takes, against an echo and an fsync. */

import { join } from 'node:path';
import type { Figure } from '../lib/figure.ts';
import { median, medianRatio } from '../lib/statistics.ts';
import type { EchoLimit } from '../limits/echo.ts';
import type { FsyncLimit } from '../limits/fsync.ts';
import type { ApplyLoad } from '../load/apply.ts';

const ROUNDS = 5;
const ALLOWED_MS = 1;

export const latency: Figure = {
  letters: ['C'],
  name: 'latency',
  async run(context) {
    const server = await context.server({ profileName: 'C.cpuprofile' });
    const echo = await context.program<EchoLimit>('limits/echo.ts');
    const fsync = await context.program<FsyncLimit>('limits/fsync.ts');
    const toServer = await context.program<ApplyLoad>('load/apply.ts');
    const toEcho = await context.program<ApplyLoad>('load/apply.ts');
    await toServer.call('connect', { url: server.wsUrl, databaseIds: ['one'], connections: 1 });
    await toEcho.call('connect', { url: await echo.call('listen'), connections: 1 });
    const round = { shape: { changes: 1 }, messages: context.count(1000, 20) };
    const path = join(context.directory, 'fsync');
    const figures = { p50: [] as number[], p99: [] as number[], limit: [] as number[] };
    const parts = { echo: [] as number[], fsync: [] as number[] };
    // The first round warms up.
    for (let i = 0; i <= ROUNDS; i++) {
      await toServer.call('prepare', round);
      const { p50Ms, p99Ms } = await toServer.call('run', { inFlight: 1 });
      await toEcho.call('prepare', round);
      const echoed = await toEcho.call('run', { inFlight: 1 });
      const synced = await fsync.call('run', { path, times: round.messages });
      if (i === 0) continue;
      figures.p50.push(p50Ms);
      figures.p99.push(p99Ms);
      figures.limit.push(echoed.p50Ms + synced.p50Ms + ALLOWED_MS);
      parts.echo.push(echoed.p50Ms);
      parts.fsync.push(synced.p50Ms);
    }
    return [
      {
        figure: 'C',
        what: 'transactions of 1 change, one in flight, p50',
        unit: 'ms',
        measured: median(figures.p50),
        limit: median(figures.limit),
        limitOf: 'ws echo p50 + fsync p50 + 1 ms',
        ratio: medianRatio(figures.p50, figures.limit),
        target: { atMost: 1 },
        details: {
          'p99 ms': median(figures.p99),
          'echo p50 ms': median(parts.echo),
          'fsync p50 ms': median(parts.fsync),
        },
      },
    ];
  },
};
