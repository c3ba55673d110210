/**
 * The hook chain that is in force, and the modules behind it. A reload puts another chain in
 * its place: what has begun ends with the modules it began with, which are closed after that.
 */

import { forgetImportedModules } from '../config/import-module.ts';
import { createLogger } from '../logger.ts';
import { createHookChain, type HookChain, type HookChainOptions } from './chain.ts';
import type { CodeHooks } from './code-hooks.ts';
import type { LoadedHooks } from './loaded-hooks.ts';
import { type HooksConfig, type LoadHooksOptions, loadHooks } from './loader.ts';
import type { StatusLines } from './module-extras.ts';

const logger = createLogger('sync-coordinator:hooks');

export interface HookHostConfig extends HooksConfig {
  hooks: HooksConfig['hooks'] & { timeoutMs: number; notifyCallsMax: number };
  limits: { shutdownMs: number };
}

export interface HookHostOptions
  extends LoadHooksOptions,
    Omit<HookChainOptions, 'timeoutMs' | 'notifyCallsMax'> {
  /** From code; they come after those that the config names, also after a reload. */
  codeHooks: CodeHooks | undefined;
}

interface Current {
  chain: HookChain;
  modules: readonly LoadedHooks[];
}

export class HookHost {
  /** Whichever chain is in force when a method is called. */
  readonly chain: HookChain;
  readonly #options: HookHostOptions;
  readonly #closings = new Set<Promise<void>>();
  #current: Current;
  #reloading: Promise<unknown> = Promise.resolve();
  #isClosed = false;
  #isReady = false;

  /** @throws HookLoadError */
  static async load(config: HookHostConfig, options: HookHostOptions): Promise<HookHost> {
    return new HookHost(await loadChain(config, options), options);
  }

  private constructor(current: Current, options: HookHostOptions) {
    this.#current = current;
    this.#options = options;
    this.chain = this.#delegate(() => this.#current.chain);
  }

  get modules(): readonly LoadedHooks[] {
    return this.#current.modules;
  }

  /**
   * Imports and sets up the modules of `config` anew. If that fails, everything stays as it is.
   * @throws HookLoadError
   */
  reload(config: HookHostConfig): Promise<void> {
    // One after the other, so that the last one asked for is the one that stays.
    const reloaded = this.#reloading.then(async () => {
      if (this.#isClosed) throw new Error('the server is stopping');
      forgetImportedModules();
      const next = await loadChain(config, this.#options);
      try {
        if (this.#isReady) await tellReady(next);
      } catch (error) {
        await closeModules(next, config.limits.shutdownMs);
        throw error;
      }
      const last = this.#current;
      if (this.#isClosed) return closeModules(next, config.limits.shutdownMs);
      this.#current = next;
      const closing = closeModules(last, config.limits.shutdownMs).finally(() =>
        this.#closings.delete(closing),
      );
      this.#closings.add(closing);
    });
    this.#reloading = reloaded.catch(() => undefined);
    return reloaded;
  }

  #delegate(current: () => HookChain): HookChain {
    return {
      get has() {
        return current().has;
      },
      get pressure() {
        return current().pressure;
      },
      authenticate: (...args) => current().authenticate(...args),
      authorize: (...args) => current().authorize(...args),
      beforeApply: (...args) => current().beforeApply(...args),
      afterApply: (...args) => current().afterApply(...args),
      beforeSend: (...args) => current().beforeSend(...args),
      viewKey: (client) => current().viewKey(client),
      clientConnect: (...args) => current().clientConnect(...args),
      clientDisconnect: (...args) => current().clientDisconnect(...args),
      settled: () => current().settled(),
      // Whoever drains the host's chain is done with it.
      drain: (deadlineMs) => this.close(deadlineMs),
    };
  }

  /** What the modules say of themselves, by their names. */
  get statusLines(): Record<string, StatusLines> {
    const said: Record<string, StatusLines> = {};
    for (const { name, status } of this.#current.modules) {
      try {
        const lines = status?.();
        if (lines !== undefined) said[name] = lines;
      } catch (error) {
        logger.error('%s: its status lines failed: %O', name, error);
      }
    }
    return said;
  }

  /**
   * The databases can be read and written: tells the modules, and from now on also those of a reload.
   * @throws HookLoadError
   */
  async ready(): Promise<void> {
    await tellReady(this.#current);
    this.#isReady = true;
  }

  /** Waits for the calls that run, up to a deadline, and closes all modules. */
  async close(deadlineMs: number): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await Promise.all([closeModules(this.#current, deadlineMs), ...this.#closings]);
  }
}

async function loadChain(config: HookHostConfig, options: HookHostOptions): Promise<Current> {
  const modules = await loadHooks(config, options.codeHooks, options);
  const { timeoutMs, notifyCallsMax } = config.hooks;
  return { modules, chain: createHookChain(modules, { ...options, timeoutMs, notifyCallsMax }) };
}

async function tellReady({ modules }: Current): Promise<void> {
  for (const module of modules) await module.ready?.();
}

async function closeModules({ chain, modules }: Current, deadlineMs: number): Promise<void> {
  await chain.drain(deadlineMs);
  // The later may stand on the earlier.
  for (const module of modules.toReversed()) await module.close();
}
