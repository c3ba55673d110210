/**
 * How much to fuzz, and from which seed: `FUZZ_RUNS` multiplies the small budget of every
 * property, `FUZZ_SEED` repeats a run. A property that fails prints its seed and its path.
 */

import type { Parameters } from 'fast-check';

function environmentNumber(name: string): number | undefined {
  const text = process.env[name];
  if (text === undefined || text === '') return undefined;
  const number = Number(text);
  if (!Number.isSafeInteger(number)) throw new TypeError(`${name} must be an integer: ${text}`);
  return number;
}

const seed = environmentNumber('FUZZ_SEED') ?? Date.now() % 2 ** 31;
const factor = environmentNumber('FUZZ_RUNS') ?? 1;

export function budget<T>(runs: number): Parameters<T> {
  return { seed, numRuns: Math.max(1, runs * factor), endOnFailure: factor === 1 };
}
