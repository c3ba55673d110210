/** Counts and times every call of every hook. There may be fifteen calls to a transaction. */

import type { Registry } from 'prom-client';
import type { HookChainOptions } from '../hooks/chain.ts';
import type { HookName } from '../hooks/kinds.ts';
import { GatheredHistogram, gatheredCounter, Tally } from './gathered-metrics.ts';

type Observe = NonNullable<HookChainOptions['observe']>;
type Outcome = Parameters<Observe>[2];

export class HookTimings {
  /** By module and hook. */
  readonly #outcomes = new Map<string, Map<HookName, Tally<Outcome>>>();
  readonly #seconds: GatheredHistogram;

  /** @param buckets upper bounds in seconds, rising */
  constructor(registry: Registry, buckets: readonly number[]) {
    const calls = {
      registry,
      name: 'sync_hook_calls_total',
      help: 'Calls of hooks, by hook, module and outcome.',
      labelNames: ['hook', 'module', 'outcome'],
    } as const;
    gatheredCounter(calls, () => this.#counts());
    this.#seconds = new GatheredHistogram({
      registry,
      name: 'sync_hook_duration_seconds',
      help: 'The time that hooks take.',
      buckets,
      labelName: 'hook',
    });
  }

  readonly observe: Observe = (hook, module, outcome, seconds) => {
    this.#outcomesOf(module, hook).inc(outcome);
    this.#seconds.observe(seconds, hook);
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
      for (const [hook, { counts }] of byHook) {
        for (const [outcome, count] of counts) yield [{ hook, module, outcome }, count];
      }
    }
  }
}
