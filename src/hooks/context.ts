/**
 * The context of a hook module, and its life. An instance of a module lives from its setup until
 * the server stops or a reload has replaced it.
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

/** What a hook module can use: the second argument of its `setup`. */
export interface HookContext {
  /** The module's name. */
  readonly name: string;
  /**
   * Logs to the `debug` namespace `sync-coordinator:hook:<name>`, with `:warn` and `:error` below
   * it. Lines that are logged during a call begin with the id of its request.
   */
  readonly logger: Logger;
  /** The module's own metrics, shown with the server's under `/metrics`. */
  readonly metrics: HookMetrics;
  /** Aborted when the module's life ends: pass it to background work. */
  readonly signal: AbortSignal;
  /**
   * Whether `sync-coordinator check` only sets the module up and closes it again, without invoking
   * hooks. Then create and write nothing: a server may be running at the same time.
   */
  readonly isCheck: boolean;
  /** Reads the coordinator's databases. */
  readonly read: CoordinatorReader;
  /** Writes to the databases as the coordinator, and acts on connected clients. */
  readonly service: CoordinatorAccess;
  /** Adds HTTP routes under `<basePath>/hooks/<name>`. Only during setup. */
  routes(register: RegisterRoutes, options?: RoutesOptions): void;
  /** Adds lines to `GET /status`, which is public. Only during setup. */
  status(lines: () => StatusLines): void;
  /**
   * Runs `work` once the databases can be read and written: before the server listens, or before a
   * reload puts the module in force. It is awaited; if it fails, so does the start or the reload.
   * Only during setup.
   */
  onReady(work: () => MaybePromise<void>): void;
  /**
   * Runs `work` when the module's life ends, after its running calls, and awaits it. The last one
   * added runs first. If the life has ended already it runs at once.
   */
  onClose(work: () => MaybePromise<void>): void;
  /**
   * In a reload: what the current instance of the same name has handed over (see `onHandover`),
   * which may be of an older version. `undefined` at start, and if that instance handed over
   * nothing.
   */
  readonly previous: unknown;
  /**
   * Runs `give` before a reload sets up another instance of this module, which gets the result as
   * `previous`. Release there what only one instance may hold, such as a port. Hooks of this
   * instance are still invoked until the new modules are in force; calls of then end with it.
   * @param takeBack runs if the reload fails afterwards, to take back what was released
   */
  onHandover<State>(
    give: () => MaybePromise<State>,
    takeBack?: (state: State) => MaybePromise<void>,
  ): void;
  /**
   * Provides a value for later modules to `use`. Only during setup.
   * @throws Error if another module provides it
   */
  provide<T>(token: Token<T>, value: T): void;
  /** The value that an earlier module provides. @throws Error if none does */
  use<T>(token: Token<T>): T;
}

/** What the contexts of all modules are made from. */
export interface HookSurroundings {
  metricsOf(module: string): HookMetrics;
  /** See `HookContext`. */
  isCheck?: boolean;
  read: CoordinatorReader;
  service: CoordinatorAccess;
  serveRoutes: ServeRoutes;
  /** Remembers which metrics there are. @returns restores them, after a failed reload */
  markMetrics?(): () => void;
  /** Values provided by the modules of this chain so far. */
  provided?: ProvidedValues;
  /** What the instance of this name hands over that is to be replaced. */
  previousOf?(module: string): MaybePromise<unknown>;
}

export interface ModuleLife {
  context: HookContext;
  extras: ModuleExtras;
  /** Ends the setup. */
  begin(): void;
  /** Releases what only one instance may hold; `undefined` if it hands over nothing. */
  handOver(): Promise<unknown>;
  /** Takes back what it has handed over, if it is not replaced after all. */
  takeBack(): Promise<void>;
  /** Ends its life: aborts the signal, then runs the works of `onClose`. Never rejects. */
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
        // Lines that are logged during a call have the id of its request.
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

/** Remembers what was handed over, for `takeBack`. */
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
