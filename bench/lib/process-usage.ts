/** What a process has taken so far, from /proc. */

import { readFileSync } from 'node:fs';

/** Clock ticks are hundredths of a second on Linux. */
const TICK_MS = 10;
const SAMPLE_MS = 10;
const KIB = 1024;

/** Processor time in milliseconds, user and system, of all threads. */
export function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field, a name in parentheses, may hold blanks.
  const [user = 0, system = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number);
  return (user + system) * TICK_MS;
}

export interface Memory {
  /** Resident bytes, mapped files included. */
  rss: number;
  /** Resident bytes of its own: the heap and all buffers, without mapped files. */
  own: number;
}

export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * KIB;
  return { rss: field('VmRSS'), own: field('RssAnon') };
}

/** @returns what `work` gave, and by how much the process grew at most while it ran */
export async function growthWhile<T>(
  pid: number,
  work: () => Promise<T>,
): Promise<{ result: T; growth: Memory }> {
  const before = memoryOf(pid);
  const growth = { rss: 0, own: 0 };
  const sample = () => {
    const now = memoryOf(pid);
    growth.rss = Math.max(growth.rss, now.rss - before.rss);
    growth.own = Math.max(growth.own, now.own - before.own);
  };
  const timer = setInterval(sample, SAMPLE_MS);
  try {
    const result = await work();
    sample();
    return { result, growth };
  } finally {
    clearInterval(timer);
  }
}
