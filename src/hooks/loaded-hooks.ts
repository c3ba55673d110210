import type { TSchema } from 'typebox';
import type { ServedRoutes, StatusLines } from './module-extras.ts';
import type { CoordinatorHooks } from './types.ts';

/** One module's hooks, ready for the chain. */
export interface LoadedHooks {
  /** For logs and metrics: what the module calls itself, else as the config names it, or `code`. */
  name: string;
  /** As the config names it. */
  module: string;
  /** Where it was found, for people. */
  source: string;
  version: string | undefined;
  /** What it was given, as it was checked; may hold secrets. */
  options: unknown;
  /** The schema that they were checked against; it marks those that are secret. */
  optionsSchema: TSchema | undefined;
  hooks: CoordinatorHooks;
  /** Its own limit for one call, instead of `hooks.timeoutMs`. */
  timeoutMs?: number | undefined;
  /** See `serial` of its definition. */
  isSerial: boolean;
  /** Those that it is asked about, where these are not all. */
  databases?: readonly string[] | undefined;
  /** HTTP routes of its own. */
  routes?: ServedRoutes | undefined;
  /** What it says of itself in `GET /status`. May throw. */
  status?(): StatusLines | undefined;
  /** The databases can be read and written. Rejects with a HookLoadError. */
  ready?(): Promise<void>;
  /** See `ModuleLife`. */
  handOver(): Promise<unknown>;
  takeBack(): Promise<void>;
  /** Ends the module's life. Never rejects. */
  close(): Promise<void>;
}
