/** E: all changes to a device that has none, against iterating and sending the same bytes bare. */

import { buildStore, copyDatabase } from '../lib/build-store.ts';
import { allowance, type Figure } from '../lib/figure.ts';
import { growthWhile } from '../lib/process-usage.ts';
import { median, medianRatio } from '../lib/statistics.ts';
import type { IterateLimit } from '../limits/iterate-and-send.ts';
import type { ReadLoad } from '../load/read.ts';

const ROUNDS = 15;
const CHANGES = 200_000;
const CHANGES_PER_TRANSACTION = 10;
const MIB = 1024 * 1024;

export const catchUp: Figure = {
  letters: ['E'],
  name: 'catch-up',
  async run(context) {
    const lastTransaction = context.count(CHANGES / CHANGES_PER_TRANSACTION);
    const changes = lastTransaction * CHANGES_PER_TRANSACTION;
    const databaseId = 'log';
    const plan = { databaseId, changes, changesPerTransaction: CHANGES_PER_TRANSACTION };
    const dataDir = await buildStore(context, [plan]);
    const copy = copyDatabase(context, dataDir, databaseId);
    const server = await context.server({ dataDir, profileName: 'E.cpuprofile' });
    const load = await context.program<ReadLoad>('load/read.ts');
    const bare = await context.program<IterateLimit>('limits/iterate-and-send.ts');
    const ask = 'get_changes' as const;
    const fromServer = { url: server.wsUrl, databaseId, ask, lastTransaction };
    const readGrowing = () => growthWhile(server.pid, () => load.call('read', fromServer));
    // The first one warms up; it counts for memory.
    const first = await readGrowing();
    const { frameBytes, bytes } = first.result;
    const { url } = await bare.call('listen', { directory: copy, kind: 'l', frameBytes });
    await load.call('read', { url, ask, lastTransaction });
    const perSecond: number[] = [];
    const limits: number[] = [];
    const cpuUs: number[] = [];
    const growths = [first.growth];
    const firstMs = [first.result.firstMs];
    for (let i = 0; i < ROUNDS; i++) {
      const before = server.cpuMs();
      const { result, growth } = await readGrowing();
      cpuUs.push(((server.cpuMs() - before) * 1000) / changes);
      perSecond.push(changes / (result.elapsedMs / 1000));
      growths.push(growth);
      firstMs.push(result.firstMs);
      const { elapsedMs } = await load.call('read', { url, ask, lastTransaction });
      limits.push(changes / (elapsedMs / 1000));
    }
    return [
      {
        figure: 'E',
        what: 'catch-up of 200,000 changes in transactions of 10',
        unit: '/s',
        measured: median(perSecond),
        limit: median(limits),
        limitOf: 'iterating and sending the same bytes bare',
        ratio: medianRatio(perSecond, limits),
        target: { atLeast: 0.6 },
        details: {
          'MB/s': (median(perSecond) / changes) * (bytes / 1e6),
          'CPU µs a change': median(cpuUs),
          frames: frameBytes.length,
        },
      },
      allowance({
        figure: 'E first',
        what: 'until the first message of a catch-up, at most',
        unit: 'ms',
        measured: Math.max(...firstMs),
        limit: 30,
        details: { 'median ms': median(firstMs) },
      }),
      allowance({
        figure: 'E growth',
        what: 'resident memory while a device catches up, at most',
        unit: 'MiB',
        measured: Math.max(...growths.map(({ rss }) => rss)) / MIB,
        limit: 64,
        details: {
          'MiB without mapped files': Math.max(...growths.map(({ own }) => own)) / MIB,
          'MiB of the first': (growths[0]?.rss ?? 0) / MIB,
          'median MiB': median(growths.map(({ rss }) => rss)) / MIB,
        },
      }),
    ];
  },
};
