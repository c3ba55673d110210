/**
 * What a hook module is given to work with, and what ends with it. An instance of a module lives from
 * its setup until the server stops or a reload has put another in its place.
 */

import { createLogger, type Logger } from '../logging/logger.ts';
import { callUnderWay, followCalls } from './call.ts';
import type { CoordinatorAccess } from './coordinator-access.ts';
import type { HookMetrics } from './hook-metrics.ts';
import {
  ModuleExtras,
  type RegisterRoutes,
  type RoutesOptions,
  type ServeRoutes,
  type StatusLines,
} from './module-extras.ts';
import { ProvidedValues, type Token } from './provided.ts';
import type { CoordinatorReader } from './reader.ts';
import type { MaybePromise } from './types.ts';

/** A hook module's surroundings, the second argument of its `setup`. */
export interface HookContext {
  /** The module's name. */
  readonly name: string;
  /**
   * Logs to the `debug` namespace `sync-coordinator:hook:<name>`, with `:warn` and `:error` below it. Lines of
   * a call begin with the id of the request that it is for.
   */
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
   * first run; at once if it has ended.
   */
  onClose(work: () => MaybePromise<void>): void;
  /**
   * In a reload: what the instance of the same name that is in force gave (see `onHandover`). It may
   * be an older version's. `undefined` at start, and where that one gave nothing.
   */
  readonly previous: unknown;
  /**
   * Runs `give` when a reload is about to set up another instance of this module, which gets what it
   * returns as `previous`: let go there of what only one may hold, such as a port. This instance is still
   * asked until the new modules are in force, and ends with what it was asked then.
   * @param takeBack runs if the reload fails after that, so that this instance is whole again
   */
  onHandover<State>(
    give: () => MaybePromise<State>,
    takeBack?: (state: State) => MaybePromise<void>,
  ): void;
  /**
   * Gives the modules that come after this one something to `use`. Only during setup.
   * @throws Error when another module provides it
   */
  provide<T>(token: Token<T>, value: T): void;
  /** What a module before this one provides; throws an Error where none does. */
  use<T>(token: Token<T>): T;
}

/** What all modules share. */
export interface HookSurroundings {
  metricsOf(module: string): HookMetrics;
  /** See `HookContext`. */
  isCheck?: boolean;
  read: CoordinatorReader;
  service: CoordinatorAccess;
  serveRoutes: ServeRoutes;
  /** Notes down which metrics there are. What it returns makes them so again, for a reload that failed. */
  markMetrics?(): () => void;
  /** By the modules of this chain, so far. */
  provided?: ProvidedValues;
  /** What the instance of that name gives that is to be replaced. */
  previousOf?(module: string): MaybePromise<unknown>;
}

export interface ModuleLife {
  context: HookContext;
  extras: ModuleExtras;
  /** Its setup is over. */
  begin(): void;
  /** Lets go of what only one instance may hold; `undefined` for one that holds nothing. */
  handOver(): Promise<unknown>;
  /** After `handOver`, if nobody has taken its place. */
  takeBack(): Promise<void>;
  /** Ends it: aborts the signal, then runs what was to be run. Never rejects. */
  close(): Promise<void>;
}

interface Handing {
  give(): MaybePromise<unknown>;
  takeBack(): MaybePromise<void>;
}

export function createModuleLife(
  name: string,
  surroundings: HookSurroundings,
  previous?: unknown,
): ModuleLife {
  const logger = createLogger(`sync-coordinator:hook:${name}`, () => callUnderWay()?.requestId);
  const end = new AbortController();
  const works: (() => MaybePromise<void>)[] = [];
  const extras = new ModuleExtras(name);
  const { provided = new ProvidedValues() } = surroundings;
  const { provide, use, end: begin } = provided.next(name);
  let isClosed = false;
  let handing: Handing | undefined;

  async function run(work: () => MaybePromise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      logger.error('closing failed: %O', error);
    }
  }

  async function close(): Promise<void> {
    if (end.signal.aborted) return;
    end.abort(new Error('the hook module is being closed'));
    for (let work = works.pop(); work !== undefined; work = works.pop()) await run(work);
    isClosed = true;
  }

  return {
    extras,
    context: {
      name,
      get logger() {
        // What it says during a call is said with the id of the request.
        followCalls();
        return logger;
      },
      metrics: surroundings.metricsOf(name),
      signal: end.signal,
      isCheck: surroundings.isCheck ?? false,
      read: surroundings.read,
      service: surroundings.service,
      routes: (register, options) => extras.addRoutes(register, options),
      status: (lines) => extras.setStatus(lines),
      onReady: (work) => extras.addWork(work),
      previous,
      onClose(work) {
        if (isClosed) void run(work);
        else works.push(work);
      },
      provide,
      use,
      onHandover(give, takeBack) {
        if (handing !== undefined) throw new TypeError('onHandover has been given already');
        handing = toHanding(give, takeBack);
      },
    },
    begin,
    handOver: async () => handing?.give(),
    takeBack: async () => handing?.takeBack(),
    close,
  };
}

/** Remembers what was given. */
function toHanding<State>(
  give: () => MaybePromise<State>,
  takeBack: ((state: State) => MaybePromise<void>) | undefined,
): Handing {
  let given: { state: State } | undefined;
  return {
    async give() {
      given = undefined;
      const state = await give();
      given = { state };
      return state;
    },
    async takeBack() {
      const last = given;
      given = undefined;
      if (last !== undefined) await takeBack?.(last.state);
    },
  };
}
