/** How a configuration names hook modules, and what it may say about their options. */

import type { HookDefinition, OptionsInput } from './define-hooks.ts';

/**
 * Modules by what a configuration calls them, and their options. A package adds its own, and
 * `defineConfig` checks them:
 *
 *     declare module 'sync-coordinator' {
 *       interface HookModuleOptions { '@acme/sync-hooks-rbac': RbacOptions }
 *     }
 */
// biome-ignore lint/suspicious/noEmptyInterface: what is declared elsewhere is added to it
export interface HookModuleOptions {}

/** A module with its place: what it is asked about, when, and for how long. */
export interface PlacedHooks<Module = string | HookDefinition, Options = unknown> {
  /** By name or path, or its definition. */
  module: Module;
  options?: Options;
  /** Ids of the databases that it is asked about. Default: all. */
  databases?: readonly string[];
  /**
   * Tables, as `table` or `schema.table`, in whatever case. The hooks that are about changes see
   * those of these tables only; all others pass by. Default: all.
   */
  tables?: readonly string[];
  /** The longest that one call may take, instead of `hooks.timeoutMs`. */
  timeoutMs?: number;
  /** Before (`pre`) or after (`post`) those that don't say. */
  enforce?: 'pre' | 'post';
  /** The directory from which a package is looked for. Default: that of the file that names it. */
  from?: string;
}

/** A module by name or path, or its definition; alone, with its options, or with its place. */
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

/** An entry whose options are those of its module, where they are known. */
export type CheckedEntry<Entry> = Entry extends readonly [infer Module, unknown]
  ? readonly [module: Module, options: OptionsOf<Module>]
  : Entry extends { module: infer Module }
    ? Omit<PlacedHooks, 'module' | 'options'> & { module: Module; options?: OptionsOf<Module> }
    : Entry;

export type CheckedEntries<Entries extends readonly unknown[]> = {
  [Index in keyof Entries]: CheckedEntry<Entries[Index]>;
};
