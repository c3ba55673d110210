/**
 * Loads, reloads and closes the modules of the hook chain. Operations that began before a reload
 * end with the modules with which they began; these are closed afterwards.
 */

import { BoundedLog } from '../../logging/bounded-log.ts';
import { createLogger } from '../../logging/logger.ts';
import { forgetImportedModules } from '../../modules/import-module.ts';
import type { CodeHooks } from '../loading/code-hooks.ts';
import { Handover } from '../loading/handover.ts';
import type { LoadedHooks } from '../loading/loaded-hooks.ts';
import { type HooksConfig, type LoadHooksOptions, loadHooks } from '../loading/loader.ts';
import type { StatusLines } from '../module-extras.ts';
import { RefusalLines } from '../refusal-lines.ts';
import { HookChain } from './chain.ts';
import { HookInvoker, type HookInvokerOptions } from './hook-invoker.ts';

const logger = createLogger('sync-coordinator:hooks');
/** Failures that clients cause by requesting the status. */
const faults = new BoundedLog({ logger, level: 'error', verb: 'failed' });

export interface HookHostConfig extends HooksConfig {
  hooks: HooksConfig['hooks'] & { timeoutMs: number; notifyCallsMax: number };
  limits: { shutdownMs: number };
}

export interface HookHostOptions
  extends LoadHooksOptions,
    Omit<HookInvokerOptions, 'timeoutMs' | 'notifyCallsMax' | 'lines'> {
  /** Hooks from code, which run after those of the config, also after a reload. */
  codeHooks: CodeHooks | undefined;
}

interface HostOptions extends HookHostOptions {
  lines: RefusalLines;
}

interface Generation {
  invoker: HookInvoker;
  modules: readonly LoadedHooks[];
}

export class HookHost {
  /** Invokes the current modules. Draining it closes all modules. */
  readonly chain: HookChain;
  readonly #options: HostOptions;
  readonly #closings = new Set<Promise<void>>();
  #current: Generation;
  #reloading: Promise<unknown> = Promise.resolve();
  #isClosed = false;
  #isReady = false;

  /** @throws HookLoadError */
  static async load(config: HookHostConfig, options: HookHostOptions): Promise<HookHost> {
    const all = { ...options, lines: new RefusalLines(options.logger) };
    return new HookHost(await loadGeneration(config, all), all);
  }

  private constructor(current: Generation, options: HostOptions) {
    this.#current = current;
    this.#options = options;
    this.chain = new HookChain(current.invoker, (deadlineMs) => this.close(deadlineMs));
  }

  get modules(): readonly LoadedHooks[] {
    return this.#current.modules;
  }

  /**
   * Imports and sets up the modules of `config` again. If that fails, the current modules stay.
   * @throws HookLoadError
   */
  reload(config: HookHostConfig): Promise<void> {
    // Reloads run one after the other, so that the last one wins.
    const reloaded = this.#reloading.then(async () => {
      if (this.#isClosed) throw new Error('the server is stopping');
      forgetImportedModules();
      const last = this.#current;
      const next = await this.#loadNext(config);
      if (this.#isClosed) return closeModules(next, config.limits.shutdownMs);
      this.#current = next;
      this.chain.replace(next.invoker);
      const closing = closeModules(last, config.limits.shutdownMs).finally(() =>
        this.#closings.delete(closing),
      );
      this.#closings.add(closing);
    });
    this.#reloading = reloaded.catch(() => undefined);
    return reloaded;
  }

  /**
   * Loads the next generation. The current one hands over to it, and takes it back if that fails.
   */
  async #loadNext(config: HookHostConfig): Promise<Generation> {
    const handover = new Handover(this.#current.modules);
    const { surroundings } = this.#options;
    const restoreMetrics = surroundings.markMetrics?.();
    const previousOf = (name: string) => handover.previousOf(name);
    let next: Generation | undefined;
    try {
      const options = { ...this.#options, surroundings: { ...surroundings, previousOf } };
      next = await loadGeneration(config, options);
      if (this.#isReady) await notifyReady(next);
      return next;
    } catch (error) {
      if (next !== undefined) await closeModules(next, config.limits.shutdownMs);
      restoreMetrics?.();
      for (const fault of await handover.undo()) logger.error('%s', fault);
      throw error;
    }
  }

  /** The status lines of modules, by their names. */
  get statusLines(): Record<string, StatusLines> {
    const linesByName: Record<string, StatusLines> = {};
    for (const { name, status } of this.#current.modules) {
      try {
        const lines = status?.();
        if (lines !== undefined) linesByName[name] = lines;
      } catch (error) {
        faults.addError(`${name}: its status lines`, undefined, error);
      }
    }
    return linesByName;
  }

  /**
   * The databases can be read and written: runs `onReady` of the modules, and from now on of
   * reloaded ones.
   * @throws HookLoadError
   */
  async ready(): Promise<void> {
    await notifyReady(this.#current);
    this.#isReady = true;
  }

  /** Waits for running calls, up to a deadline, and closes all modules. */
  async close(deadlineMs: number): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await Promise.all([closeModules(this.#current, deadlineMs), ...this.#closings]);
    this.#options.lines.flush();
    faults.flush();
  }
}

async function loadGeneration(config: HookHostConfig, options: HostOptions): Promise<Generation> {
  const modules = await loadHooks(config, options.codeHooks, options);
  const { timeoutMs, notifyCallsMax } = config.hooks;
  const invoker = new HookInvoker(modules, { ...options, timeoutMs, notifyCallsMax });
  return { modules, invoker };
}

async function notifyReady({ modules }: Generation): Promise<void> {
  for (const module of modules) await module.ready?.();
}

async function closeModules({ invoker, modules }: Generation, deadlineMs: number): Promise<void> {
  await invoker.running.drain(deadlineMs);
  // In reverse order: later modules may depend on earlier ones.
  for (const module of modules.toReversed()) await module.close();
}
