/**
 * Metrics of hook modules, on the server's registry, with the module's name:
 * `sync_hook_<module>_<name>`. A reloaded instance that requests the same metric gets the existing
 * one, so that counters go on. If it requests another kind, other labels or buckets, a new metric,
 * which begins at zero, replaces it.
 */

import { isDeepStrictEqual } from 'node:util';
import { Counter, Gauge, Histogram, type Metric, type Registry } from 'prom-client';

export interface HookMetrics {
  /** @param name in snake case, ending with `_total` */
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
  /** @param name in snake case, ending with the unit */
  histogram<Label extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames?: readonly Label[],
  ): Histogram<Label>;
}

type MetricClass<T extends Metric> = abstract new (...args: never[]) => T;

/** What must be equal for the metric of an earlier instance to be used again. */
interface Shape {
  kind: 'counter' | 'gauge' | 'histogram';
  labelNames: readonly string[];
  buckets?: readonly number[];
}

interface Owned {
  module: string;
  shape: Shape;
}

/** The owners of metrics that modules have made. */
const ownedByMetric = new WeakMap<Metric, Owned>();

/** @param module its name, the same for each of its instances */
export function createHookMetrics(module: string, registry: Registry): HookMetrics {
  const prefix = `sync_hook_${toMetricName(module)}`;
  const registers = [registry];
  /** The metrics that this instance has requested. */
  const asked = new Map<string, Shape>();

  /**
   * The existing metric, if it has the requested shape. One of another shape by an earlier instance
   * is removed.
   */
  function known<T extends Metric>(
    name: string,
    metricClass: MetricClass<T>,
    shape: Shape,
  ): T | undefined {
    const metric = registry.getSingleMetric(name);
    const own = asked.get(name);
    asked.set(name, own ?? shape);
    if (own !== undefined && !isDeepStrictEqual(own, shape)) {
      throw new Error(
        `the metric ${name} is there already, and of another kind, labels or buckets`,
      );
    }
    if (metric === undefined) return undefined;
    const owned = ownedByMetric.get(metric);
    if (owned?.module !== module) {
      throw new Error(
        `the metric ${name} is there already, and is ${owned === undefined ? 'the server’s' : `that of ${owned.module}`}`,
      );
    }
    if (isDeepStrictEqual(owned.shape, shape) && metric instanceof metricClass) return metric;
    registry.removeSingleMetric(name);
    return undefined;
  }

  function owning<T extends Metric>(metric: T, shape: Shape): T {
    ownedByMetric.set(metric, { module, shape });
    return metric;
  }

  return {
    counter<Label extends string>(
      suffix: string,
      help: string,
      labelNames: readonly Label[] = [],
    ): Counter<Label> {
      const name = `${prefix}_${suffix}`;
      const shape: Shape = { kind: 'counter', labelNames: [...labelNames] };
      const there = known(name, Counter<Label>, shape);
      return there ?? owning(new Counter({ name, help, labelNames, registers }), shape);
    },
    gauge<Label extends string>(
      suffix: string,
      help: string,
      labelNames: readonly Label[] = [],
    ): Gauge<Label> {
      const name = `${prefix}_${suffix}`;
      const shape: Shape = { kind: 'gauge', labelNames: [...labelNames] };
      const there = known(name, Gauge<Label>, shape);
      return there ?? owning(new Gauge({ name, help, labelNames, registers }), shape);
    },
    histogram<Label extends string>(
      suffix: string,
      help: string,
      givenBuckets: readonly number[],
      labelNames: readonly Label[] = [],
    ): Histogram<Label> {
      const name = `${prefix}_${suffix}`;
      const buckets = [...givenBuckets];
      const shape: Shape = { kind: 'histogram', labelNames: [...labelNames], buckets };
      const options = { name, help, labelNames, registers, buckets: [...buckets] };
      return known(name, Histogram<Label>, shape) ?? owning(new Histogram(options), shape);
    },
  };
}

/** Remembers which metrics there are. @returns puts back those that have been replaced since */
export function markHookMetrics(registry: Registry): () => void {
  const before = registry
    .getMetricsAsArray()
    .map(({ name }) => ({ name, metric: registry.getSingleMetric(name) }));
  return () => {
    for (const { name, metric } of before) {
      if (metric === undefined || registry.getSingleMetric(name) === metric) continue;
      registry.removeSingleMetric(name);
      registry.registerMetric(metric);
    }
  };
}

function toMetricName(module: string): string {
  return module
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '_')
    .replaceAll(/^_|_$/g, '');
}
