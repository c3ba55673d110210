/** The limit of durability: a small record appended to a file, and fdatasync. */

import { closeSync, fdatasync, openSync, rmSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { serveProgram } from '../lib/program.ts';
import { percentile } from '../lib/statistics.ts';

const RECORD = Buffer.alloc(600, 'x');
const sync = promisify(fdatasync);

const methods = serveProgram({
  async run({ path, times }: { path: string; times: number }) {
    const file = openSync(path, 'w');
    const latencies: number[] = [];
    for (let i = 0; i < times; i++) {
      const startedAt = performance.now();
      writeSync(file, RECORD);
      await sync(file);
      latencies.push(performance.now() - startedAt);
    }
    closeSync(file);
    rmSync(path);
    return { p50Ms: percentile(latencies, 0.5), p99Ms: percentile(latencies, 0.99) };
  },
});

export type FsyncLimit = typeof methods;
