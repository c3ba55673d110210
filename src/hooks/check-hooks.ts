/**
 * Whether what a module gave is hooks. A misspelt hook would never be called, and a
 * check that is never called lets everything pass: so it fails the start.
 */

import { HOOK_NAMES, isHookName } from './kinds.ts';
import { HookLoadError } from './load-error.ts';
import { hookEssence, nearestHook } from './nearest-hook.ts';
import type { CoordinatorHooks } from './types.ts';

/** Own and inherited, as the hooks of a class instance are methods of its prototype. */
function memberNames(value: object): Set<string> {
  const names = new Set<string>();
  for (
    let owner: object | null = value;
    owner !== null && owner !== Object.prototype;
    owner = Reflect.getPrototypeOf(owner)
  ) {
    for (const name of Object.getOwnPropertyNames(owner)) names.add(name);
  }
  return names;
}

function checkName(module: string, name: string): void {
  if (isHookName(name)) return;
  const nearest = nearestHook(name);
  // Other members are the module's own business, unless one is a hook but for its spelling.
  const isAlmost = nearest !== undefined && hookEssence(name) === hookEssence(nearest);
  if (!isAlmost && !/^on[A-Z]/.test(name)) return;
  const hint = nearest ? `did you mean ${nearest}?` : `there are ${HOOK_NAMES.join(', ')}`;
  throw new HookLoadError(module, `there is no hook named ${name}; ${hint}`);
}

/** `undefined` under a hook's name is a hook that is switched off. */
function hookCount(module: string, value: object): number {
  const found = HOOK_NAMES.filter((name) => Reflect.get(value, name) !== undefined);
  for (const name of found) {
    const hook: unknown = Reflect.get(value, name);
    if (typeof hook === 'function') continue;
    throw new HookLoadError(
      module,
      `${name} is ${hook === null ? 'null' : `a ${typeof hook}`}, not a function`,
    );
  }
  const key: unknown = Reflect.get(value, 'viewKey');
  if (key !== undefined && typeof key !== 'function') {
    throw new HookLoadError(module, `viewKey is a ${typeof key}, not a function`);
  }
  return found.length;
}

/** Whether there is any hook in it; throws a HookLoadError if it is wrong. */
export function hasHooks(module: string, value: object): value is CoordinatorHooks {
  for (const name of memberNames(value)) checkName(module, name);
  return hookCount(module, value) > 0;
}

/**
 * The value as hooks; throws a HookLoadError if it is wrong or gives none.
 * @param mayBeEmpty what else the module does is enough
 */
export function toHooks(module: string, value: unknown, mayBeEmpty = false): CoordinatorHooks {
  if (value === undefined && mayBeEmpty) return {};
  if (typeof value !== 'object' || value === null) {
    const given = value === null ? 'null' : typeof value;
    throw new HookLoadError(module, `it gives ${given}, not an object of hook functions`);
  }
  if (hasHooks(module, value) || mayBeEmpty) return value;
  throw new HookLoadError(module, `it gives no hooks; there are ${HOOK_NAMES.join(', ')}`);
}
