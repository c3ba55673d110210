/**
 * What a hook module is given to work with, and what ends with it. A module lives from
 * its setup until the server stops or a reload has put another chain in its place.
 */

import { createLogger, type Logger } from '../logger.ts';
import type { HookMetrics } from './hook-metrics.ts';
import type { CoordinatorReader } from './reader.ts';
import type { MaybePromise } from './types.ts';

/** A hook module's surroundings, the second argument of its `setup`. */
export interface HookContext {
  /** The module's name. */
  readonly name: string;
  /** Logs to the `debug` namespace `sync-coordinator:hook:<name>`, with `:warn` and `:error` below it. */
  readonly logger: Logger;
  /** Counters and the like of the module's own, with the server's under `/metrics`. */
  readonly metrics: HookMetrics;
  /** Aborted when the module's life ends: give it to whatever runs in the background. */
  readonly signal: AbortSignal;
  /** The coordinator's databases. */
  readonly read: CoordinatorReader;
  /**
   * Runs `work` when the module's life ends: after its running calls, and awaited. Last given
   * first run.
   */
  onClose(work: () => MaybePromise<void>): void;
}

/** What all modules share. */
export interface HookSurroundings {
  metricsOf(module: string): HookMetrics;
  read: CoordinatorReader;
}

export interface ModuleLife {
  context: HookContext;
  /** Ends it: aborts the signal, then runs what was to be run. Never rejects. */
  close(): Promise<void>;
}

export function createModuleLife(name: string, surroundings: HookSurroundings): ModuleLife {
  const logger = createLogger(`sync-coordinator:hook:${name}`);
  const end = new AbortController();
  const works: (() => MaybePromise<void>)[] = [];

  async function close(): Promise<void> {
    if (end.signal.aborted) return;
    end.abort(new Error('the hook module is being closed'));
    for (const work of works.reverse()) {
      try {
        await work();
      } catch (error) {
        logger.error('closing failed: %O', error);
      }
    }
  }

  return {
    context: {
      name,
      logger,
      metrics: surroundings.metricsOf(name),
      signal: end.signal,
      read: surroundings.read,
      onClose: (work) => {
        works.push(work);
      },
    },
    close,
  };
}
