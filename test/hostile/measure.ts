/** Sets one kind of hostile peer on a server of its own, and measures what that costs the others. */

import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { openStorage } from '../../src/storage/by-address/open-storage.ts';
import { type ChildServer, startChildServer } from '../support/child-server.ts';
import { openEngine } from '../support/engine.ts';
import { startProber } from './prober.ts';
import type { Scenario } from './scenarios.ts';

/**
 * What the runtime may add by itself, beside what the options allow. It begins small: a server that has just
 * started takes 91 MB, 20 less than with a file for each module, and as much more when it works.
 */
export const CONSTANT_BYTES = 64 * 1024 * 1024;
const SAMPLE_MS = 20;

export interface Measured {
  /** By how much the process grew at most, in bytes. */
  grownBytes: number;
  /** The well-behaved client's, in milliseconds, without the hostile peers and with them. */
  p99AloneMs: number;
  p99BesideMs: number;
  /** For how long the server's loop was held up at most, in milliseconds, while they were there. */
  heldUpMs: number;
  /** How they ended. */
  outcome: string;
}

export interface MeasureOptions {
  owner: { after(fn: () => unknown): void };
  dataDir: string;
  /** How much there is of it, from 0 to 1. */
  scale?: number;
}

export async function measure(
  scenario: Scenario,
  { owner, dataDir, scale = 1 }: MeasureOptions,
): Promise<Measured> {
  if (scenario.stored !== undefined) await fill(dataDir, scenario.stored(scale));
  const nodeArgs = ['--import', new URL('watch-loop.mjs', import.meta.url).href];
  const server = await startChildServer(owner, { dataDir, args: scenario.args, nodeArgs });
  const prober = await startProber(owner, server.wsUrl);
  const load = scenario.load(scale);
  // Once for the compiler, and for the memory that such a load takes by itself.
  await prober.write(load);
  const aloneMs = await prober.write(load);
  const memory = watchMemory(server);
  await readHeldUpMs(server);
  try {
    const attack = await scenario.attack({ server, owner, scale });
    const besideMs = await prober.write(load);
    attack.stop?.();
    const outcome = await attack.ended();
    const heldUpMs = await readHeldUpMs(server);
    return {
      heldUpMs,
      grownBytes: memory.grownBytes(),
      p99AloneMs: percentile(aloneMs, 0.99),
      p99BesideMs: percentile(besideMs, 0.99),
      outcome,
    };
  } finally {
    memory.stop();
    await server.kill('SIGTERM');
  }
}

/** Since it was read the last time. See `watch-loop.mjs`. */
async function readHeldUpMs(server: ChildServer): Promise<number> {
  const before = server.output().length;
  server.process.kill('SIGWINCH');
  for (;;) {
    const [, heldUpMs] = /held up for (\d+) ms\n/.exec(server.output().slice(before)) ?? [];
    if (heldUpMs !== undefined) return Number(heldUpMs);
    await new Promise(setImmediate);
  }
}

function watchMemory(server: ChildServer): { grownBytes(): number; stop(): void } {
  const before = server.residentBytes();
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, server.residentBytes());
  }, SAMPLE_MS);
  return { grownBytes: () => most - before, stop: () => clearInterval(timer) };
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

/** Straight through the engine: what is tested is the reading. */
async function fill(dataDir: string, batches: Iterable<readonly WireChangeSet[]>): Promise<void> {
  const storage = await openStorage({ url: `leveldb:${dataDir}`, durability: 'os', dataDir });
  const store = await storage.open('default');
  const { manager } = await openEngine({ store });
  for (const batch of batches) await manager.apply(batch);
  await manager.close();
  await store.close();
  await storage.close();
}
