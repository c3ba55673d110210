/**
 * Metrics of what happens with every transaction. prom-client's own `inc` and `observe` took a
 * quarter to half a microsecond each, and a transaction would call nine of them, and as many again
 * as it has hooks to ask. Here it is an addition, and what has gathered becomes a metric when
 * somebody asks for one.
 */

import { Counter, Histogram, type Registry } from 'prom-client';

/** How often each of several things happened. */
export class Tally<Key> {
  readonly counts = new Map<Key, number>();

  inc(key: Key, by = 1): void {
    this.counts.set(key, (this.counts.get(key) ?? 0) + by);
  }
}

interface CounterConfig<Label extends string> {
  registry: Registry;
  name: string;
  help: string;
  labelNames?: readonly Label[];
}

/** @param read all that has been counted so far, by its labels */
export function gatheredCounter<Label extends string = never>(
  { registry, ...config }: CounterConfig<Label>,
  read: () => Iterable<readonly [Partial<Record<Label, string>>, number]>,
): void {
  new Counter<Label>({
    ...config,
    registers: [registry],
    collect() {
      this.reset();
      for (const [labels, count] of read()) this.inc(labels, count);
    },
  });
}

/** A counter without labels. */
export class GatheredCounter {
  #count = 0;

  constructor(config: CounterConfig<never>) {
    gatheredCounter(config, () => [[{}, this.#count]]);
  }

  inc(by: number): void {
    this.#count += by;
  }
}

interface HistogramConfig {
  registry: Registry;
  name: string;
  help: string;
  /** Upper bounds, rising. */
  buckets: readonly number[];
  /** Of the one label that it has, if it has one. */
  labelName?: string;
}

interface Series {
  /** By the bucket that they fall into; the last is for all that lie beyond. */
  counts: number[];
  sum: number;
}

type HistogramValues = Awaited<ReturnType<Histogram['get']>>['values'];

/** A histogram with one label, or none. */
export class GatheredHistogram {
  readonly #config: HistogramConfig;
  readonly #seriesByLabel = new Map<string, Series>();

  constructor(config: HistogramConfig) {
    this.#config = config;
    if (config.labelName === undefined) this.#seriesOf('');
    new ReportedHistogram(config, () => this.#values());
  }

  observe(value: number, label = ''): void {
    const { buckets } = this.#config;
    const series = this.#seriesOf(label);
    let bucket = 0;
    while (value > (buckets[bucket] ?? Number.POSITIVE_INFINITY)) bucket++;
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sum += value;
  }

  /** @returns observes the seconds since */
  startTimer(): () => void {
    const startedAtMs = performance.now();
    return () => this.observe((performance.now() - startedAtMs) / 1000);
  }

  #seriesOf(label: string): Series {
    let series = this.#seriesByLabel.get(label);
    if (series === undefined) {
      series = { counts: [...this.#config.buckets.map(() => 0), 0], sum: 0 };
      this.#seriesByLabel.set(label, series);
    }
    return series;
  }

  #values(): HistogramValues {
    const { name, buckets, labelName } = this.#config;
    return [...this.#seriesByLabel].flatMap(([label, { counts, sum }]) => {
      const labels = labelName === undefined ? {} : { [labelName]: label };
      let total = 0;
      const below = counts.map((count, i) => {
        total += count;
        const le = buckets[i] ?? '+Inf';
        return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: total };
      });
      return [
        ...below,
        { metricName: `${name}_sum`, labels, value: sum },
        { metricName: `${name}_count`, labels, value: total },
      ];
    });
  }
}

/** What the registry knows of one: the library has no way to set a histogram's values. */
class ReportedHistogram extends Histogram {
  readonly #config: HistogramConfig;
  readonly #values: () => HistogramValues;

  constructor(config: HistogramConfig, values: () => HistogramValues) {
    const { registry, name, help, buckets, labelName } = config;
    const labelNames = labelName === undefined ? [] : [labelName];
    super({ name, help, labelNames, buckets: [...buckets], registers: [registry] });
    this.#config = config;
    this.#values = values;
  }

  /** What the registry asks for, and the library's own `get`. */
  async getForPromString() {
    const { name, help } = this.#config;
    return { name, help, type: 'histogram', values: this.#values() };
  }
}
