/**
 * Counts and times every call of every hook. There may be fifteen calls to a transaction, so
 * a call costs two additions here; prom-client's own counter and histogram took nearly a
 * microsecond together. What has gathered becomes metrics when somebody asks for them.
 */

import { Counter, Histogram, type Registry } from 'prom-client';
import type { HookChainOptions } from '../hooks/chain.ts';
import type { HookName } from '../hooks/kinds.ts';

type Observe = NonNullable<HookChainOptions['observe']>;
type Outcome = Parameters<Observe>[2];

interface Calls {
  hook: HookName;
  module: string;
  countByOutcome: Map<Outcome, number>;
}

interface Timing {
  /** Calls by the bucket that they fall into; the last is for all that take longer. */
  counts: number[];
  sum: number;
}

const SECONDS = 'sync_hook_duration_seconds';
const HELP = 'The time that hooks take.';

type HistogramValues = Awaited<ReturnType<Histogram<'hook'>['get']>>['values'];

export class HookTimings {
  readonly #buckets: readonly number[];
  readonly #callsByModule = new Map<string, Map<HookName, Calls>>();
  readonly #timings = new Map<HookName, Timing>();

  /** @param buckets upper bounds in seconds, rising */
  constructor(registry: Registry, buckets: readonly number[]) {
    this.#buckets = buckets;
    const calls = this.#callsByModule;
    new Counter({
      name: 'sync_hook_calls_total',
      help: 'Calls of hooks, by hook, module and outcome.',
      labelNames: ['hook', 'module', 'outcome'],
      registers: [registry],
      collect() {
        this.reset();
        for (const byHook of calls.values()) {
          for (const { hook, module, countByOutcome } of byHook.values()) {
            for (const [outcome, count] of countByOutcome) {
              this.inc({ hook, module, outcome }, count);
            }
          }
        }
      },
    });
    new GatheredHistogram(registry, buckets, () => this.#histogramValues());
  }

  readonly observe: Observe = (hook, module, outcome, seconds) => {
    const { countByOutcome } = this.#callsOf(module, hook);
    countByOutcome.set(outcome, (countByOutcome.get(outcome) ?? 0) + 1);
    let timing = this.#timings.get(hook);
    if (timing === undefined) {
      timing = { counts: [...this.#buckets.map(() => 0), 0], sum: 0 };
      this.#timings.set(hook, timing);
    }
    let bucket = 0;
    while (seconds > (this.#buckets[bucket] ?? Number.POSITIVE_INFINITY)) bucket++;
    timing.counts[bucket] = (timing.counts[bucket] ?? 0) + 1;
    timing.sum += seconds;
  };

  #callsOf(module: string, hook: HookName): Calls {
    let byHook = this.#callsByModule.get(module);
    if (byHook === undefined) {
      byHook = new Map();
      this.#callsByModule.set(module, byHook);
    }
    let calls = byHook.get(hook);
    if (calls === undefined) {
      calls = { hook, module, countByOutcome: new Map() };
      byHook.set(hook, calls);
    }
    return calls;
  }

  #histogramValues(): HistogramValues {
    return [...this.#timings].flatMap(([hook, { counts, sum }]) => {
      let total = 0;
      const buckets = counts.map((count, i) => {
        total += count;
        const labels = { le: this.#buckets[i] ?? '+Inf', hook };
        return { metricName: `${SECONDS}_bucket`, labels, value: total };
      });
      const labels = { hook };
      return [
        ...buckets,
        { metricName: `${SECONDS}_sum`, labels, value: sum },
        { metricName: `${SECONDS}_count`, labels, value: total },
      ];
    });
  }
}

/** A histogram whose values are kept elsewhere: the library has no way to set them. */
class GatheredHistogram extends Histogram<'hook'> {
  readonly #values: () => HistogramValues;

  constructor(registry: Registry, buckets: readonly number[], values: () => HistogramValues) {
    const labelNames = ['hook'] as const;
    super({ name: SECONDS, help: HELP, labelNames, buckets: [...buckets], registers: [registry] });
    this.#values = values;
  }

  /** What the registry asks for, and the library's own `get`. */
  async getForPromString() {
    return { name: SECONDS, help: HELP, type: 'histogram', values: this.#values() };
  }
}
