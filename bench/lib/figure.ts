/** What a benchmark gives: rows of a measurement, its limit, what they are to each other, and the target. */

import type { RunContext } from './run-context.ts';

/** What a ratio must reach; or, where nothing is asked, which way is better. */
export type Target = { atMost: number } | { atLeast: number } | { better: 'more' | 'less' };

export interface Row {
  /** The figure's letter, with a word where it has several rows: `E`, `E growth`. */
  figure: string;
  what: string;
  unit: string;
  measured: number;
  /** Measured in the same run by a small program of the same shape, or what is allowed. */
  limit: number;
  limitOf: string;
  /** `measured` to `limit`; the median of several, measured in turns. */
  ratio: number;
  target: Target;
  /** What else was seen, for people. */
  details?: Record<string, number>;
}

export interface Figure {
  /** As on the command line. */
  letters: readonly string[];
  name: string;
  run(context: RunContext): Promise<Row[]>;
}

/** `undefined` where nothing is asked. */
export function isMet({ ratio, target }: Row): boolean | undefined {
  if ('better' in target) return undefined;
  return 'atMost' in target ? ratio <= target.atMost : ratio >= target.atLeast;
}

/** A row whose limit is a fixed allowance. */
export function allowance(
  row: Omit<Row, 'limitOf' | 'ratio' | 'target'> & { limitOf?: string },
): Row {
  return {
    limitOf: 'allowed',
    ...row,
    ratio: row.measured / row.limit,
    target: { atMost: 1 },
  };
}
