/**
 * The hook chain that is in force, and the modules behind it. A reload puts another chain in
 * its place: what has begun ends with the modules it began with, which are closed after that.
 */

import { forgetImportedModules } from '../config/import-module.ts';
import { createLogger } from '../logger.ts';
import { createHookChain, type HookChain, type HookChainOptions } from './chain.ts';
import type { CodeHooks } from './code-hooks.ts';
import { Handover } from './handover.ts';
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
      const last = this.#current;
      const next = await this.#loadNext(config);
      if (this.#isClosed) return closeModules(next, config.limits.shutdownMs);
      this.#current = next;
      next.chain.takeOver(last.chain.handOver());
      const closing = closeModules(last, config.limits.shutdownMs).finally(() =>
        this.#closings.delete(closing),
      );
      this.#closings.add(closing);
    });
    this.#reloading = reloaded.catch(() => undefined);
    return reloaded;
  }

  /** Those in force let go of what they hold for it, and take it back if it fails. */
  async #loadNext(config: HookHostConfig): Promise<Current> {
    const handover = new Handover(this.#current.modules);
    const { surroundings } = this.#options;
    const restoreMetrics = surroundings.markMetrics?.();
    const previousOf = (name: string) => handover.previousOf(name);
    let next: Current | undefined;
    try {
      const options = { ...this.#options, surroundings: { ...surroundings, previousOf } };
      next = await loadChain(config, options);
      if (this.#isReady) await tellReady(next);
      return next;
    } catch (error) {
      if (next !== undefined) await closeModules(next, config.limits.shutdownMs);
      restoreMetrics?.();
      for (const fault of await handover.undo()) logger.error('%s', fault);
      throw error;
    }
  }

  /** Who enters while a reload takes place was asked about by modules that are replaced by then. */
  async #clientConnect(...args: Parameters<HookChain['clientConnect']>): Promise<void> {
    const asked = this.#current.chain.retain();
    try {
      await asked.clientConnect(...args);
      const { chain } = this.#current;
      if (chain !== asked) chain.takeOver(asked.handOver(args[0]));
    } finally {
      asked.release();
    }
  }

  #delegate(current: () => HookChain): HookChain {
    return {
      get has() {
        return current().has;
      },
      pressureOn: (...args) => current().pressureOn(...args),
      isSerialIn: (databaseId) => current().isSerialIn(databaseId),
      authenticate: (...args) => current().authenticate(...args),
      authenticated: (...args) => current().authenticated(...args),
      authorize: (...args) => current().authorize(...args),
      beforeApply: (...args) => current().beforeApply(...args),
      afterApply: (...args) => current().afterApply(...args),
      beforeSend: (...args) => current().beforeSend(...args),
      viewKey: (client) => current().viewKey(client),
      clientConnect: (...args) => this.#clientConnect(...args),
      clientDisconnect: (...args) => current().clientDisconnect(...args),
      takeOver: (...args) => current().takeOver(...args),
      handOver: (...args) => current().handOver(...args),
      // The one in force itself, whatever takes its place.
      retain: () => current().retain(),
      release: () => current().release(),
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
