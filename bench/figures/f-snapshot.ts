/** F: a snapshot of 2,000,000 cells, against iterating the rows and sending as many bytes bare. */

import { bigStore, copyDatabase } from '../lib/build-store.ts';
import { allowance, type Figure } from '../lib/figure.ts';
import { growthWhile } from '../lib/process-usage.ts';
import { median, medianRatio } from '../lib/statistics.ts';
import type { IterateLimit } from '../limits/iterate-and-send.ts';
import type { ReadLoad } from '../load/read.ts';

const ROUNDS = 3;
const MIB = 1024 * 1024;

export const snapshot: Figure = {
  letters: ['F'],
  name: 'snapshot',
  async run(context) {
    const { dataDir, databases } = await bigStore(context);
    const { databaseId = '', cells = 0 } = databases[2] ?? {};
    const copy = copyDatabase(context, dataDir, databaseId);
    const server = await context.server({ dataDir, profileName: 'F.cpuprofile' });
    const load = await context.program<ReadLoad>('load/read.ts');
    const bare = await context.program<IterateLimit>('limits/iterate-and-send.ts');
    const ask = 'get_snapshot' as const;
    const readGrowing = () =>
      growthWhile(server.pid, () => load.call('read', { url: server.wsUrl, databaseId, ask }));
    // The first one warms up; it counts for memory and for the first chunk.
    const first = await readGrowing();
    const { frameBytes, bytes } = first.result;
    const { url } = await bare.call('listen', { directory: copy, kind: 'r', frameBytes });
    const perSecond: number[] = [];
    const limits: number[] = [];
    const cpuUs: number[] = [];
    const readings = [first];
    for (let i = 0; i < ROUNDS; i++) {
      const before = server.cpuMs();
      const reading = await readGrowing();
      readings.push(reading);
      cpuUs.push(((server.cpuMs() - before) * 1000) / cells);
      perSecond.push(cells / (reading.result.elapsedMs / 1000));
      const { elapsedMs } = await load.call('read', { url, ask });
      limits.push(cells / (elapsedMs / 1000));
    }
    const most = (values: number[]) => Math.max(...values);
    return [
      {
        figure: 'F',
        what: 'snapshot of 2,000,000 cells, entries',
        unit: '/s',
        measured: median(perSecond),
        limit: median(limits),
        limitOf: 'iterating the rows and sending as many bytes bare',
        ratio: medianRatio(perSecond, limits),
        target: { atLeast: 0.5 },
        details: {
          'MB/s': (median(perSecond) / cells) * (bytes / 1e6),
          'CPU µs an entry': median(cpuUs),
        },
      },
      allowance({
        figure: 'F first',
        what: 'until the first chunk with cells, at most',
        unit: 'ms',
        measured: most(readings.map(({ result }) => result.firstDataMs)),
        limit: 50,
        details: {
          'median ms': median(readings.map(({ result }) => result.firstDataMs)),
          'ms to the header': median(readings.map(({ result }) => result.firstMs)),
        },
      }),
      allowance({
        figure: 'F growth',
        what: 'resident memory while a snapshot is sent, at most',
        unit: 'MiB',
        measured: most(readings.map(({ growth }) => growth.rss)) / MIB,
        limit: 64,
        details: {
          'MiB without mapped files': most(readings.map(({ growth }) => growth.own)) / MIB,
          'median MiB': median(readings.map(({ growth }) => growth.rss)) / MIB,
        },
      }),
    ];
  },
};
