/**
 * The table of hooks, with how the answers of several modules combine. The loader, the invoker,
 * metric labels and the docs take the hooks' names from it, so that none is forgotten.
 */

import type { CoordinatorHooks } from './types.ts';

/**
 * - `first`: the first answer counts; `undefined` passes to the next module
 * - `all`: every module must say `true`
 * - `pipeline`: each module gets the result of the one before
 * - `notify`: all are invoked; no client waits for them, or gets their errors
 */
export type HookKind = 'first' | 'all' | 'pipeline' | 'notify';

export type HookName = Exclude<keyof CoordinatorHooks, 'viewKey'>;

export const HOOK_KINDS = {
  onAuthenticate: 'first',
  onAuthenticated: 'pipeline',
  onAuthorize: 'all',
  onBeforeApplyChanges: 'pipeline',
  onAfterApplyChanges: 'notify',
  onBeforeSendChanges: 'pipeline',
  onClientConnect: 'all',
  onClientHandover: 'notify',
  onClientDisconnect: 'notify',
} as const satisfies Record<HookName, HookKind>;

export type HookOfKind<Kind extends HookKind> = {
  [Name in HookName]: (typeof HOOK_KINDS)[Name] extends Kind ? Name : never;
}[HookName];

export function isHookName(name: string): name is HookName {
  return Object.hasOwn(HOOK_KINDS, name);
}

export const HOOK_NAMES: readonly HookName[] = Object.keys(HOOK_KINDS).filter(isHookName);

/** A record with a value for each hook. */
export function recordByHook<Value>(valueFor: (hook: HookName) => Value): Record<HookName, Value> {
  const entries = HOOK_NAMES.map((hook) => [hook, valueFor(hook)] as const);
  // fromEntries forgets which keys there are: all of them, since HOOK_NAMES is the whole table.
  return Object.fromEntries(entries) as Record<HookName, Value>;
}
