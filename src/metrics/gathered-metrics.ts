/** Metrics from the counts of components, which are read when metrics are requested. */

import { Counter, Histogram, type Registry } from 'prom-client';
import type { Distribution } from './counts.ts';

interface CounterConfig<Label extends string> {
  registry: Registry;
  name: string;
  help: string;
  labelNames?: readonly Label[];
}

/** @param read the counts so far, by their labels */
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

interface HistogramConfig {
  registry: Registry;
  name: string;
  help: string;
  /** The name of its label, if it has one. */
  labelName?: string;
}

type HistogramValues = Awaited<ReturnType<Histogram['get']>>['values'];

export function gatheredHistogram(config: HistogramConfig, distribution: Distribution): void {
  if (config.labelName === undefined) distribution.seriesOf('');
  new GatheredHistogram(config, distribution);
}

/** A histogram with given values, which the library has no way to set. */
class GatheredHistogram extends Histogram {
  readonly #config: HistogramConfig;
  readonly #distribution: Distribution;

  constructor(config: HistogramConfig, distribution: Distribution) {
    const { registry, name, help, labelName } = config;
    const labelNames = labelName === undefined ? [] : [labelName];
    const buckets = [...distribution.buckets];
    super({ name, help, labelNames, buckets, registers: [registry] });
    this.#config = config;
    this.#distribution = distribution;
  }

  /** Called by the registry, and by the library's own `get`. */
  async getForPromString() {
    const { name, help } = this.#config;
    return { name, help, type: 'histogram', values: this.#values() };
  }

  #values(): HistogramValues {
    const { name, labelName } = this.#config;
    const { buckets, seriesByLabel } = this.#distribution;
    return [...seriesByLabel].flatMap(([label, { counts, sum }]) => {
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
