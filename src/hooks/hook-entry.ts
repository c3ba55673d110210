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
// biome-ignore lint/suspicious/noEmptyInterface: filled by declaration merging
export interface HookModuleOptions {}

/** A module by name or path, or its definition; alone or with its options. */
export type HookEntry =
  | string
  | HookDefinition
  | readonly [module: string | HookDefinition, options: unknown];

type OptionsOf<Module> = Module extends keyof HookModuleOptions
  ? HookModuleOptions[Module]
  : Module extends HookDefinition<infer Options>
    ? OptionsInput<Options>
    : unknown;

/** An entry whose options are those of its module, where they are known. */
export type CheckedEntry<Entry> = Entry extends readonly [infer Module, unknown]
  ? readonly [module: Module, options: OptionsOf<Module>]
  : Entry;

export type CheckedEntries<Entries extends readonly unknown[]> = {
  [Index in keyof Entries]: CheckedEntry<Entries[Index]>;
};
