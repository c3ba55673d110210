/** The entries of hook modules in a configuration, and the types of their options. */

import type { HookDefinition, OptionsInput } from '../define-hooks.ts';

/**
 * The options of modules, by their names in a configuration. A package adds its own, and
 * `defineConfig` checks them:
 *
 *     declare module 'sync-coordinator' {
 *       interface HookModuleOptions { '@acme/sync-hooks-rbac': RbacOptions }
 *     }
 */
// biome-ignore lint/suspicious/noEmptyInterface: what is declared elsewhere is added to it
export interface HookModuleOptions {}

/** A module with its scope, its order and its time limit. */
export interface PlacedHooks<Module = string | HookDefinition, Options = unknown> {
  /** Its name or path, or its definition. */
  module: Module;
  options?: Options;
  /** Ids of the databases for which it is invoked. Default: all. */
  databases?: readonly string[];
  /**
   * Tables, as `table` or `schema.table`, ignoring case. Hooks about changes see only those of
   * these tables; other changes bypass the module. Default: all.
   */
  tables?: readonly string[];
  /** The longest time of one call, instead of `hooks.timeoutMs`. */
  timeoutMs?: number;
  /** Runs before (`pre`) or after (`post`) modules without it. */
  enforce?: 'pre' | 'post';
  /** The directory from which a package is resolved. Default: that of the file that names it. */
  from?: string;
}

/** A module by name or path, or its definition; alone, with options, or with more settings. */
export type HookEntry =
  | string
  | HookDefinition
  | readonly [module: string | HookDefinition, options: unknown]
  | PlacedHooks;

type OptionsOf<Module> = Module extends keyof HookModuleOptions
  ? HookModuleOptions[Module]
  : Module extends HookDefinition<infer Options>
    ? OptionsInput<Options>
    : unknown;

/** An entry whose options have the type that its module declares, if that is known. */
export type CheckedEntry<Entry> = Entry extends readonly [infer Module, unknown]
  ? readonly [module: Module, options: OptionsOf<Module>]
  : Entry extends { module: infer Module }
    ? Omit<PlacedHooks, 'module' | 'options'> & { module: Module; options?: OptionsOf<Module> }
    : Entry;

export type CheckedEntries<Entries extends readonly unknown[]> = {
  [Index in keyof Entries]: CheckedEntry<Entries[Index]>;
};
