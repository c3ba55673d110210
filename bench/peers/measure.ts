/** What is measured of each contender, always in turns and never two at once. */

import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMsOf, growthWhile, memoryOf } from '../lib/process-usage.ts';
import type { Program } from '../lib/program.ts';
import type { RunContext } from '../lib/run-context.ts';
import { median } from '../lib/statistics.ts';
import { CONTENDERS, type Contender, type ContenderName } from './contenders.ts';
import type { PeerLoad } from './load.ts';
import { type ContenderServer, startContender } from './server.ts';

const ROUNDS = 5;
/** Each is as warm as the others when it is measured, however little it has to run for one. */
const WARM_UP = { perSecond: 200, transactions: 1500, valueBytes: 20 };
const PACED_SECONDS = 2;
/** What the last one may be late by for a server to keep up. */
const LATE_MS = 500;

const LIVE = 20;
const STALLED = 20;
const STALL_PACE = { perSecond: 200, transactions: 1000, valueBytes: 20_000 };
/** Longer than the 30 s after which some close who takes nothing. */
const WATCH_MS = 40_000;
const LOOK_MS = 500;

const IDLE = 2000;
const IDLE_WARM_UP = 200;
const SETTLE_MS = 1500;

export type Results<T> = Map<ContenderName, T>;

interface Side {
  contender: Contender;
  server: ContenderServer;
  load: Program<PeerLoad>;
}

async function startSides(context: RunContext, listeners: number): Promise<Side[]> {
  const sides: Side[] = [];
  for (const contender of CONTENDERS) {
    const server = await startContender(context, contender);
    const load = await context.program<PeerLoad>('peers/load.ts');
    if (listeners > 0) {
      await load.call('connect', { name: contender.name, url: server.url, clients: listeners });
    }
    sides.push({ contender, server, load });
  }
  return sides;
}

export interface FanOut {
  p50Ms: number;
  p99Ms: number;
  /** Of the server, a delivery. */
  cpuUs: number;
  arrived: number;
  keptUp: boolean;
}

export async function measureFanOut(context: RunContext, listeners: number, perSecond: number) {
  const sides = await startSides(context, listeners);
  const results: Results<FanOut> = new Map();
  const rounds = sides.map(() => [] as FanOut[]);
  const pace = {
    perSecond,
    transactions: perSecond * PACED_SECONDS,
    valueBytes: WARM_UP.valueBytes,
  };
  for (const { load } of sides) await load.call('paced', WARM_UP);
  for (let i = 0; i < ROUNDS; i++) {
    for (const [n, { server, load }] of sides.entries()) {
      const before = cpuMsOf(server.pid);
      const { p50Ms, p99Ms, arrived, lateMs } = await load.call('paced', pace);
      const cpuMs = cpuMsOf(server.pid) - before;
      const cpuUs = (cpuMs * 1000) / (pace.transactions * listeners * arrived);
      const keptUp = arrived === 1 && lateMs <= LATE_MS;
      rounds[n]?.push({ p50Ms, p99Ms, cpuUs, arrived, keptUp });
    }
  }
  for (const [n, { contender }] of sides.entries()) {
    const of = rounds[n] ?? [];
    results.set(contender.name, {
      p50Ms: median(of.map(({ p50Ms }) => p50Ms)),
      p99Ms: median(of.map(({ p99Ms }) => p99Ms)),
      cpuUs: median(of.map(({ cpuUs }) => cpuUs)),
      arrived: Math.min(...of.map(({ arrived }) => arrived)),
      keptUp: of.every(({ keptUp }) => keptUp),
    });
  }
  await context.stopAll();
  return results;
}

export interface Stalled {
  /** While everyone reads, and while some don't: the most over what it had before. */
  growthReading: number;
  growthStalled: number;
  /** What is still there at the end of the watch. */
  growthAfter: number;
  /** Of those who read, while the others don't. */
  arrived: number;
  p99Ms: number;
  liveClosed: number;
  stalledClosed: number;
  /** From the end of the writing; only when all stalled ones were closed. */
  closedAfterMs: number | undefined;
}

export async function measureStalled(context: RunContext): Promise<Results<Stalled>> {
  const sides = await startSides(context, LIVE);
  const results: Results<Stalled> = new Map();
  const watches: NodeJS.Timeout[] = [];
  for (const { contender, server, load } of sides) {
    const { name } = contender;
    const reading = await growthWhile(server.pid, () => load.call('paced', STALL_PACE));
    const before = memoryOf(server.pid).rss;
    const socketsBefore = openSocketsOf(server.pid);
    await load.call('stall', { name, url: server.url, clients: STALLED });
    const stalling = await growthWhile(server.pid, () => load.call('paced', STALL_PACE));
    const result: Stalled = {
      growthReading: reading.growth.rss,
      growthStalled: stalling.growth.rss,
      growthAfter: 0,
      arrived: stalling.result.arrived,
      p99Ms: stalling.result.p99Ms,
      liveClosed: stalling.result.closed,
      stalledClosed: 0,
      closedAfterMs: undefined,
    };
    results.set(name, result);
    const endedAt = performance.now();
    const watch = () => {
      const left = openSocketsOf(server.pid) - socketsBefore;
      const elapsedMs = performance.now() - endedAt;
      if (elapsedMs > WATCH_MS) return;
      result.stalledClosed = Math.min(STALLED, STALLED - left);
      if (left <= 0) result.closedAfterMs ??= elapsedMs;
      const growth = memoryOf(server.pid).rss - before;
      result.growthStalled = Math.max(result.growthStalled, growth);
      result.growthAfter = growth;
    };
    // Its clients write nothing any more, and the next one is measured meanwhile.
    watches.push(setInterval(watch, LOOK_MS));
  }
  await sleep(WATCH_MS);
  for (const watch of watches) clearInterval(watch);
  await context.stopAll();
  return results;
}

function openSocketsOf(pid: number): number {
  const directory = `/proc/${pid}/fd`;
  const isSocket = (fd: string) => {
    try {
      return readlinkSync(`${directory}/${fd}`).startsWith('socket:');
    } catch {
      // Closed between the two calls.
      return false;
    }
  };
  return readdirSync(directory).filter(isSocket).length;
}

/** @returns resident bytes that each session adds */
export async function measureIdle(context: RunContext): Promise<Results<number>> {
  const rounds = CONTENDERS.map(() => [] as number[]);
  for (let i = 0; i < ROUNDS; i++) {
    for (const [n, { contender, server, load }] of (await startSides(context, 0)).entries()) {
      const target = { name: contender.name, url: server.url };
      // The code of connecting, and one that stays, so that what is shared does too.
      await load.call('idle', { ...target, clients: IDLE_WARM_UP });
      await load.call('closeIdle');
      await load.call('idle', { ...target, clients: 1 });
      await sleep(SETTLE_MS);
      const before = memoryOf(server.pid).rss;
      await load.call('idle', { ...target, clients: IDLE });
      await sleep(SETTLE_MS);
      rounds[n]?.push((memoryOf(server.pid).rss - before) / IDLE);
    }
    await context.stopAll();
  }
  return new Map(CONTENDERS.map(({ name }, n) => [name, median(rounds[n] ?? [])]));
}
