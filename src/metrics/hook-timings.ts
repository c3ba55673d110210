/** Counts and times the calls of hooks. One transaction may have fifteen. */

import type { Registry } from 'prom-client';
import type { ObserveCall } from '../hooks/chain/hook-invoker.ts';
import type { HookName } from '../hooks/kinds.ts';
import { Distribution, SECONDS_BUCKETS, type Series, Tally } from './counts.ts';
import { gatheredCounter, gatheredHistogram } from './gathered-metrics.ts';

type Outcome = Parameters<ObserveCall>[0];

export class HookTimings {
  /** By module and hook. */
  readonly #outcomes = new Map<string, Map<HookName, Tally<Outcome>>>();
  readonly #seconds = new Distribution(SECONDS_BUCKETS);

  constructor(registry: Registry) {
    const calls = {
      registry,
      name: 'sync_hook_calls_total',
      help: 'Calls of hooks, by hook, module and outcome.',
      labelNames: ['hook', 'module', 'outcome'],
    } as const;
    gatheredCounter(calls, () => this.#counts());
    const name = 'sync_hook_duration_seconds';
    const help = 'The time that hooks take.';
    gatheredHistogram({ registry, name, help, labelName: 'hook' }, this.#seconds);
  }

  /**
   * Gives the function that counts the calls of a module's hook. A reloaded instance goes on with
   * the counts.
   */
  readonly observer = (hook: HookName, module: string): ObserveCall => {
    const outcomes = this.#outcomesOf(module, hook);
    // Not before the first call: what never happened is no series.
    let series: Series | undefined;
    return (outcome, seconds) => {
      outcomes.inc(outcome);
      series ??= this.#seconds.seriesOf(hook);
      this.#seconds.observe(seconds, series);
    };
  };

  #outcomesOf(module: string, hook: HookName): Tally<Outcome> {
    let byHook = this.#outcomes.get(module);
    if (byHook === undefined) {
      byHook = new Map();
      this.#outcomes.set(module, byHook);
    }
    let outcomes = byHook.get(hook);
    if (outcomes === undefined) {
      outcomes = new Tally();
      byHook.set(hook, outcomes);
    }
    return outcomes;
  }

  *#counts(): Generator<[{ hook: string; module: string; outcome: string }, number]> {
    for (const [module, byHook] of this.#outcomes) {
      for (const [hook, counts] of byHook) {
        for (const [outcome, count] of counts) yield [{ hook, module, outcome }, count];
      }
    }
  }
}
