/** What a process has taken so far, from /proc. */

import { readdirSync, readFileSync } from 'node:fs';

const SAMPLE_MS = 10;
const KIB = 1024;

/**
 * Processor time in milliseconds, user and system, of all threads that it has. Node's and LevelDB's
 * stay until the end. To the nanosecond, where `/proc/PID/stat` counts hundredths of a second.
 */
export function cpuMsOf(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const nanoseconds = threads.reduce((sum, thread) => {
    return sum + nanosecondsOf(pid, thread);
  }, 0);
  return nanoseconds / 1e6;
}

/** That of the processes that one has started, as PostgreSQL does one for each connection. */
export function childrenCpuMsOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  return children.reduce((sum, child) => sum + cpuMsOf(Number(child)), 0);
}

/** That of the main thread alone, which runs the JavaScript, in milliseconds. */
export function mainThreadMsOf(pid: number): number {
  return nanosecondsOf(pid, String(pid)) / 1e6;
}

function nanosecondsOf(pid: number, thread: string): number {
  const [onCpu = ''] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
  return Number(onCpu);
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
