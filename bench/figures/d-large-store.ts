/** D: transactions of 100 changes to rows at random of a large database, against inserts into an empty one. */

import { bigStore, copyStore } from '../lib/build-store.ts';
import type { Figure } from '../lib/figure.ts';
import type { TransactionShape } from '../lib/messages.ts';
import { median, medianRatio } from '../lib/statistics.ts';
import type { ApplyLoad } from '../load/apply.ts';

const ROUNDS = 5;
const CHANGES = 100;
/** As many as A has in all, on one connection: on one database the others would be pushed to. */
const IN_FLIGHT = 64;

export const largeStore: Figure = {
  letters: ['D'],
  name: 'large-store',
  async run(context) {
    const { dataDir, databases } = await bigStore(context);
    const { databaseId = '', rows = 0 } = databases[2] ?? {};
    const full = await context.server({
      dataDir: copyStore(context, dataDir),
      profileName: 'D.cpuprofile',
    });
    const empty = await context.server();
    const sides = [];
    for (const [server, shape] of [
      [full, { changes: CHANGES, updateRows: rows }],
      [empty, { changes: CHANGES }],
    ] satisfies [typeof full, TransactionShape][]) {
      const load = await context.program<ApplyLoad>('load/apply.ts');
      await load.call('connect', {
        ...{ url: server.wsUrl, databaseIds: [databaseId], connections: 1 },
      });
      const perSecond: number[] = [];
      const cpuUs: number[] = [];
      sides.push({ server, shape, load, perSecond, cpuUs });
    }
    const messages = context.count(800, 8);
    // The first round warms up.
    for (let i = 0; i <= ROUNDS; i++) {
      for (const { server, shape, load, perSecond, cpuUs } of sides) {
        await load.call('prepare', { shape, messages });
        const before = server.cpuMs();
        const { elapsedMs } = await load.call('run', { inFlight: IN_FLIGHT });
        if (i === 0) continue;
        perSecond.push((messages * CHANGES) / (elapsedMs / 1000));
        cpuUs.push(((server.cpuMs() - before) * 1000) / (messages * CHANGES));
      }
    }
    const [onFull, onEmpty] = sides;
    const rates = [onFull?.perSecond ?? [], onEmpty?.perSecond ?? []] as const;
    const costs = [onFull?.cpuUs ?? [], onEmpty?.cpuUs ?? []] as const;
    return [
      {
        figure: 'D',
        what: 'changes to rows at random among 2,000,000 cells',
        unit: '/s',
        measured: median(rates[0]),
        limit: median(rates[1]),
        limitOf: 'inserts into an empty database',
        ratio: medianRatio(...rates),
        target: { atLeast: 0.6 },
        details: {
          'CPU µs a change': median(costs[0]),
          'on an empty one': median(costs[1]),
          'CPU of empty to full': medianRatio(costs[1], costs[0]),
        },
      },
    ];
  },
};
