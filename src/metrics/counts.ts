/**
 * Counts of components. Each component owns its counts; they become metrics only when metrics are
 * requested. Here a count is an addition, while prom-client's own `inc` and `observe` took a
 * quarter to half a microsecond each, and a transaction would call nine of them, and as many again
 * as it invokes hooks.
 */

import type { ErrorCode } from '../protocol/error-codes.ts';

/** Counts by key. */
export class Tally<Key> {
  readonly #counts = new Map<Key, { count: number }>();

  inc(key: Key): void {
    const known = this.#counts.get(key);
    if (known === undefined) this.#counts.set(key, { count: 1 });
    else known.count++;
  }

  get(key: Key): number {
    return this.#counts.get(key)?.count ?? 0;
  }

  *[Symbol.iterator](): Generator<[Key, number]> {
    for (const [key, { count }] of this.#counts) yield [key, count];
  }
}

export interface Series {
  /** One for each bucket; the last is for values beyond all bounds. */
  counts: number[];
  sum: number;
}

/** The distribution of values, by one label or none. */
export class Distribution {
  readonly buckets: readonly number[];
  readonly seriesByLabel = new Map<string, Series>();

  /** @param buckets upper bounds, rising */
  constructor(buckets: readonly number[]) {
    this.buckets = buckets;
  }

  observe(value: number, series = this.seriesOf('')): void {
    const { buckets } = this;
    let bucket = 0;
    while (value > (buckets[bucket] ?? Number.POSITIVE_INFINITY)) bucket++;
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sum += value;
  }

  /** @returns a function that observes the seconds since this call */
  startTimer(): () => void {
    const startedAtMs = performance.now();
    return () => this.observe((performance.now() - startedAtMs) / 1000);
  }

  seriesOf(label: string): Series {
    let series = this.seriesByLabel.get(label);
    if (series === undefined) {
      series = { counts: [...this.buckets.map(() => 0), 0], sum: 0 };
      this.seriesByLabel.set(label, series);
    }
    return series;
  }
}

export interface LoginCounts {
  attempts: number;
  /** By the code of the refusal. */
  failures: Tally<ErrorCode>;
}

export const newLoginCounts = (): LoginCounts => ({ attempts: 0, failures: new Tally() });

/** For times from half a millisecond to some seconds. */
export const SECONDS_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
];
export const CHANGES_BUCKETS = [1, 5, 10, 50, 100, 500, 1000, 5000, 10_000, 50_000];
