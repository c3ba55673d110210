/** A progress bar on the terminal, for as long as a command works on one database. */

import { SingleBar } from 'cli-progress';
import { PACKAGE_NAME } from '../modules/own-package.ts';

const BAR_INTERVAL_MS = 100;

/** Filled in by the work; 0 as the total is one that is not known yet. */
export interface Tally {
  done: number;
  total: number;
}

export async function withProgress<T>(
  label: string,
  tally: Tally,
  work: () => Promise<T>,
): Promise<T> {
  const bar = new SingleBar({
    format: `${PACKAGE_NAME}: ${label} [{bar}] {percentage}%`,
    stream: process.stderr,
    noTTYOutput: false,
    clearOnComplete: true,
    hideCursor: true,
  });
  bar.start(1, 0);
  const timer = setInterval(() => {
    if (tally.total === 0) return;
    bar.setTotal(Math.max(tally.total, tally.done));
    bar.update(tally.done);
  }, BAR_INTERVAL_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    bar.stop();
  }
}
