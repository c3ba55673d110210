/**
 * The handover from current instances of modules to those that a reload sets up. An instance hands
 * over right before the next one of its name is set up. If the reload fails, all that have handed
 * over take it back.
 */

import { HookLoadError, messageOf } from '../load-error.ts';
import { inTime } from './load-time.ts';
import type { LoadedHooks } from './loaded-hooks.ts';

export class Handover {
  readonly #modules: readonly LoadedHooks[];
  readonly #asked: LoadedHooks[] = [];

  constructor(modules: readonly LoadedHooks[]) {
    this.#modules = modules;
  }

  /** @throws HookLoadError if the instance can't hand over */
  async previousOf(name: string): Promise<unknown> {
    const module = this.#modules.find((one) => one.name === name);
    if (module === undefined) return undefined;
    this.#asked.push(module);
    try {
      return await inTime(module.handOver(), 'it');
    } catch (error) {
      const reason = `the instance in force could not be handed over: ${messageOf(error)}`;
      throw new HookLoadError(module.module, reason, error);
    }
  }

  /** @returns a message for each instance that could not take back what it had handed over */
  async undo(): Promise<string[]> {
    const faults: string[] = [];
    // In the order of setup: later modules may depend on earlier ones.
    for (const module of this.#asked.splice(0)) {
      try {
        await inTime(module.takeBack(), 'it');
      } catch (error) {
        faults.push(
          `${module.name} could not take back what it had handed over: ${messageOf(error)}`,
        );
      }
    }
    return faults;
  }
}
