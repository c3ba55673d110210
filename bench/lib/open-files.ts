/** How many files a process may have open. */

import { readFileSync } from 'node:fs';

/** What else a process has open. */
const RESERVE = 300;

/**
 * As many sessions as are wanted, or as fit under the hard limit: Node raises its own soft limit to
 * that by itself. Says so where it is fewer.
 */
export function sessionsThatFit(wanted: number): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const hard = /^Max open files +\S+ +(\S+)/m.exec(limits)?.[1] ?? 'unlimited';
  const most = hard === 'unlimited' ? wanted : Number(hard) - RESERVE;
  if (most >= wanted) return wanted;
  process.stderr.write(
    `only ${most} sessions instead of ${wanted}: a process may open ${hard} files (ulimit -Hn)\n`,
  );
  return most;
}
