/**
 * Hooks from embedding code: turns what that may pass into entries like those of a configuration.
 */

import type { HookModule } from '../define-hooks.ts';
import { HookLoadError, messageOf } from '../load-error.ts';
import type { MaybePromise } from '../types.ts';
import { hasHooks, memberNames } from './check-hooks.ts';
import type { PlacedHooks } from './hook-entry.ts';

/** A module, its name or path, or the result of its `import()`. */
export type CodeModule =
  | string
  | MaybePromise<HookModule<never> | { default: HookModule<never> } | { hooks: HookModule<never> }>;

export type CodeEntry =
  | CodeModule
  | readonly [module: CodeModule, options: unknown]
  | PlacedHooks<CodeModule>;

/** One module, or a list of entries as in a configuration. */
export type CodeHooks = CodeEntry | readonly CodeEntry[];

/** The name of a module from code that has none. */
export const CODE = 'code';

/**
 * @param given anything: it may come from JavaScript
 * @throws HookLoadError if it may have hooks that would never be invoked
 */
export async function codeToEntries(given: unknown): Promise<readonly unknown[]> {
  const hooks = await settled(given);
  if (hooks === undefined) return [];
  if (Array.isArray(hooks)) {
    // Entries are read one after the other, and a promise may reject before its turn.
    for (const entry of hooks) if (entry instanceof Promise) entry.catch(() => undefined);
    return hooks;
  }
  // An empty object is allowed, for code that adds hooks under conditions.
  if (isNothing(hooks)) return [];
  return [hooks];
}

/** @throws HookLoadError if it is a promise that rejects */
export async function settled(given: unknown): Promise<unknown> {
  try {
    return await given;
  } catch (error) {
    throw new HookLoadError(CODE, `its promise rejected: ${messageOf(error)}`, error);
  }
}

function isNothing(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const isPlain = Object.getPrototypeOf(value) === Object.prototype;
  if (!isPlain || hasHooks(CODE, value)) return false;
  const members = [...memberNames(value)].filter((name) => Reflect.get(value, name) !== undefined);
  return members.length === 0;
}
