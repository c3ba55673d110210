/**
 * What the instances of modules that are in force hand over to those that a reload sets up. Each is asked
 * right before another of its name is set up; if the reload fails, all that were asked take it back.
 */

import { HookLoadError, messageOf } from './load-error.ts';
import { inTime } from './load-time.ts';
import type { LoadedHooks } from './loaded-hooks.ts';

export class Handover {
  readonly #modules: readonly LoadedHooks[];
  readonly #asked: LoadedHooks[] = [];

  constructor(modules: readonly LoadedHooks[]) {
    this.#modules = modules;
  }

  /** @throws HookLoadError when it can't let go */
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

  /** @returns what is not whole again */
  async undo(): Promise<string[]> {
    const faults: string[] = [];
    // What was set up later may stand on what was set up earlier.
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
