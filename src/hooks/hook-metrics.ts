/**
 * Metrics of a hook module's own, on the server's registry and under the module's name:
 * `sync_hook_<module>_<name>`. Whoever asks again (a module that was loaded anew) gets what
 * is there already, so that counters go on counting.
 */

import { Counter, Gauge, Histogram, type Metric, type Registry } from 'prom-client';

export interface HookMetrics {
  /** @param name in snake case, `_total` at its end */
  counter<Label extends string = never>(
    name: string,
    help: string,
    labelNames?: readonly Label[],
  ): Counter<Label>;
  gauge<Label extends string = never>(
    name: string,
    help: string,
    labelNames?: readonly Label[],
  ): Gauge<Label>;
  /** @param name in snake case, its unit at its end */
  histogram<Label extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames?: readonly Label[],
  ): Histogram<Label>;
}

type MetricClass<T extends Metric> = abstract new (...args: never[]) => T;

export function createHookMetrics(module: string, registry: Registry): HookMetrics {
  const prefix = `sync_hook_${toMetricName(module)}`;
  const registers = [registry];

  function known<T extends Metric>(name: string, kind: MetricClass<T>): T | undefined {
    const metric = registry.getSingleMetric(name);
    if (metric === undefined || metric instanceof kind) return metric;
    throw new Error(`the metric ${name} is there already, and of another kind`);
  }

  return {
    counter<Label extends string>(
      suffix: string,
      help: string,
      labelNames: readonly Label[] = [],
    ): Counter<Label> {
      const name = `${prefix}_${suffix}`;
      return known(name, Counter<Label>) ?? new Counter({ name, help, labelNames, registers });
    },
    gauge<Label extends string>(
      suffix: string,
      help: string,
      labelNames: readonly Label[] = [],
    ): Gauge<Label> {
      const name = `${prefix}_${suffix}`;
      return known(name, Gauge<Label>) ?? new Gauge({ name, help, labelNames, registers });
    },
    histogram<Label extends string>(
      suffix: string,
      help: string,
      buckets: readonly number[],
      labelNames: readonly Label[] = [],
    ): Histogram<Label> {
      const name = `${prefix}_${suffix}`;
      const options = { name, help, labelNames, registers, buckets: [...buckets] };
      return known(name, Histogram<Label>) ?? new Histogram(options);
    },
  };
}

function toMetricName(module: string): string {
  return module
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '_')
    .replaceAll(/^_|_$/g, '');
}
