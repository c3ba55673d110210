/** I: what 10,000 sessions that do nothing take of memory, and of a live session's time. */

import { setTimeout as sleep } from 'node:timers/promises';
import { allowance, type Figure } from '../lib/figure.ts';
import { sessionsThatFit } from '../lib/open-files.ts';
import { memoryOf } from '../lib/process-usage.ts';
import type { Program } from '../lib/program.ts';
import { median } from '../lib/statistics.ts';
import type { EchoLimit } from '../limits/echo.ts';
import type { ApplyLoad } from '../load/apply.ts';
import type { IdleLoad, IdleTarget } from '../load/idle.ts';

const SESSIONS = 10_000;
const RUNS = 5;
/** Until what connecting has left behind is cleared away. */
const SETTLE_MS = 2000;
const KIB = 1024;

async function bytesEach(
  pid: number,
  idle: Program<IdleLoad>,
  target: IdleTarget,
): Promise<number> {
  await sleep(SETTLE_MS);
  const before = memoryOf(pid).rss;
  await idle.call('connect', target);
  await sleep(SETTLE_MS);
  return (memoryOf(pid).rss - before) / target.sessions;
}

export const idleSessions: Figure = {
  letters: ['I'],
  name: 'idle-sessions',
  async run(context) {
    const sessions = sessionsThatFit(context.count(SESSIONS, 100));
    const server = await context.server({ profileName: 'I.cpuprofile' });
    const bare = await context.program<EchoLimit>('limits/echo.ts');
    const live = await context.program<ApplyLoad>('load/apply.ts');
    const idle = await context.program<IdleLoad>('load/idle.ts');
    const idleAtBare = await context.program<IdleLoad>('load/idle.ts');
    await live.call('connect', { url: server.wsUrl, databaseIds: ['live'], connections: 1 });
    const round = { shape: { changes: 1 }, messages: context.count(1000, 100) };
    const alone = { p50: [] as number[], p99: [] as number[] };
    const among = { p50: [] as number[], p99: [] as number[] };
    const measureLive = async (figures: typeof alone) => {
      for (let i = 0; i < RUNS; i++) {
        await live.call('prepare', round);
        const { p50Ms, p99Ms } = await live.call('run', { inFlight: 1 });
        figures.p50.push(p50Ms);
        figures.p99.push(p99Ms);
      }
    };
    // Warms up: the code of connecting too.
    await measureLive({ p50: [], p99: [] });
    await idle.call('connect', { url: server.wsUrl, databaseId: 'idle', sessions: 200 });
    await idle.call('close');
    await measureLive(alone);
    const each = await bytesEach(server.pid, idle, {
      ...{ url: server.wsUrl, databaseId: 'idle', sessions },
    });
    await measureLive(among);
    const closed = await idle.call('closed');
    if (closed > 0) throw new Error(`${closed} idle sessions were closed`);
    await idle.call('close');
    await sleep(SETTLE_MS);
    await measureLive(alone);
    const eachBare = await bytesEach(bare.pid, idleAtBare, {
      ...{ url: await bare.call('listen'), sessions },
    });
    const [p99Among, p99Alone] = [median(among.p99), median(alone.p99)];
    return [
      allowance({
        figure: 'I',
        what: `resident memory of each of ${sessions.toLocaleString('en')} idle sessions`,
        unit: 'KiB',
        measured: each / KIB,
        limit: 8,
        details: { 'KiB of a bare ws server': eachBare / KIB },
      }),
      {
        figure: 'I live',
        what: 'a live session among them, p99 of a transaction',
        unit: 'ms',
        measured: p99Among,
        limit: p99Alone,
        limitOf: 'alone',
        ratio: p99Among / p99Alone,
        target: { atMost: 1.5 },
        details: { 'p50 ms': median(among.p50), 'p50 ms alone': median(alone.p50) },
      },
    ];
  },
};
