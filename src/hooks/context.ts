/**
 * What a hook module is given to work with, and what ends with it. A module lives from
 * its setup until the server stops or a reload has put another chain in its place.
 */

import { createLogger, type Logger } from '../logger.ts';
import type { CoordinatorAccess } from './coordinator-access.ts';
import type { HookMetrics } from './hook-metrics.ts';
import {
  ModuleExtras,
  type RegisterRoutes,
  type RoutesOptions,
  type ServeRoutes,
  type StatusLines,
} from './module-extras.ts';
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
  /**
   * Whether the module is only looked at, by `sync-coordinator check`: it is set up and closed again,
   * and nobody asks it. Make nothing then, and write nowhere: a server may be running beside.
   */
  readonly isCheck: boolean;
  /** The coordinator's databases. */
  readonly read: CoordinatorReader;
  /** Writing to them as the coordinator, who is connected, and what may be said about clients. */
  readonly service: CoordinatorAccess;
  /** Adds HTTP routes under `<basePath>/hooks/<name>`. In setup only. */
  routes(register: RegisterRoutes, options?: RoutesOptions): void;
  /** Adds lines to `GET /status`, which everybody may read. In setup only. */
  status(lines: () => StatusLines): void;
  /**
   * Runs `work` when the databases can be read and written, before the server listens, or before a
   * reload puts the module in its place; awaited. If it fails, so does the start or the reload. In setup
   * only.
   */
  onReady(work: () => MaybePromise<void>): void;
  /**
   * Runs `work` when the module's life ends: after its running calls, and awaited. Last given
   * first run.
   */
  onClose(work: () => MaybePromise<void>): void;
}

/** What all modules share. */
export interface HookSurroundings {
  metricsOf(module: string): HookMetrics;
  /** See `HookContext`. */
  isCheck?: boolean;
  read: CoordinatorReader;
  service: CoordinatorAccess;
  serveRoutes: ServeRoutes;
}

export interface ModuleLife {
  context: HookContext;
  extras: ModuleExtras;
  /** Ends it: aborts the signal, then runs what was to be run. Never rejects. */
  close(): Promise<void>;
}

export function createModuleLife(name: string, surroundings: HookSurroundings): ModuleLife {
  const logger = createLogger(`sync-coordinator:hook:${name}`);
  const end = new AbortController();
  const works: (() => MaybePromise<void>)[] = [];
  const extras = new ModuleExtras(name);

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
    extras,
    context: {
      name,
      logger,
      metrics: surroundings.metricsOf(name),
      signal: end.signal,
      isCheck: surroundings.isCheck ?? false,
      read: surroundings.read,
      service: surroundings.service,
      routes: (register, options) => extras.addRoutes(register, options),
      status: (lines) => extras.setStatus(lines),
      onReady: (work) => extras.addWork(work),
      onClose: (work) => {
        works.push(work);
      },
    },
    close,
  };
}
