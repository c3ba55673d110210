import type { TSchema } from 'typebox';
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
  /** Ends the module's life. Never rejects. */
  close(): Promise<void>;
}
