import type { TSchema } from 'typebox';
import type { ServedRoutes, StatusLines } from '../module-extras.ts';
import type { CoordinatorHooks } from '../types.ts';

/** One module's hooks, ready for the chain. */
export interface LoadedHooks {
  /**
   * The name for logs and metrics: that of its definition, or else that of the config, or `code`.
   */
  name: string;
  /** The module's name in the config. */
  module: string;
  /** Where it was found, for people. */
  source: string;
  version: string | undefined;
  /** Its checked options, which may contain secrets. */
  options: unknown;
  /** The schema of the options, which marks secret ones. */
  optionsSchema: TSchema | undefined;
  hooks: CoordinatorHooks;
  /** Its own time limit for one call, instead of `hooks.timeoutMs`. */
  timeoutMs?: number | undefined;
  /** See `serial` of its definition. */
  isSerial: boolean;
  /** The databases for which it is invoked. Default: all. */
  databases?: readonly string[] | undefined;
  /** HTTP routes of its own. */
  routes?: ServedRoutes | undefined;
  /** Its lines in `GET /status`. May throw. */
  status?(): StatusLines | undefined;
  /** Runs its `onReady`. Rejects with a HookLoadError. */
  ready?(): Promise<void>;
  /** See `ModuleLife`. */
  handOver(): Promise<unknown>;
  takeBack(): Promise<void>;
  /** Ends the module's life. Never rejects. */
  close(): Promise<void>;
}
