/**
 * Checks the hooks of a module. A misspelt hook would never be invoked, and so let everything pass:
 * therefore it fails the start.
 */

import { HOOK_NAMES, isHookName } from '../kinds.ts';
import { HookLoadError } from '../load-error.ts';
import type { CoordinatorHooks } from '../types.ts';
import { hookEssence, nearestHook } from './nearest-hook.ts';

/**
 * The names of own and inherited members: the hooks of a class instance are methods of its
 * prototype.
 */
export function memberNames(value: object): Set<string> {
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
  // Other members are allowed, unless the name differs from a hook's only in its spelling.
  const isAlmost = nearest !== undefined && hookEssence(name) === hookEssence(nearest);
  if (!isAlmost && !/^on[A-Z]/.test(name)) return;
  const hint = nearest ? `did you mean ${nearest}?` : `there are ${HOOK_NAMES.join(', ')}`;
  throw new HookLoadError(module, `there is no hook named ${name}; ${hint}`);
}

/** The number of hooks. A hook whose value is `undefined` is switched off. */
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

/** Whether it has any hook. @throws HookLoadError if a member is wrong */
export function hasHooks(module: string, value: object): value is CoordinatorHooks {
  for (const name of memberNames(value)) checkName(module, name);
  return hookCount(module, value) > 0;
}

/** The kind of a value, for messages. */
function kindOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return value === null ? 'null' : typeof value;
  if (Array.isArray(value)) return 'an array';
  if (isThenable(value)) return 'a promise';
  return value instanceof Map || value instanceof Set ? `a ${value.constructor.name}` : 'an object';
}

function isThenable(value: object): boolean {
  return typeof Reflect.get(value, 'then') === 'function';
}

/** Refuses hooks that are one level too deep, which would never be invoked. */
function refuseNested(module: string, value: object): void {
  for (const name of ['hooks', 'default']) {
    const inner: unknown = Reflect.get(value, name);
    if (typeof inner !== 'object' || inner === null || inner === value) continue;
    const [hook] = HOOK_NAMES.filter((known) => Reflect.get(inner, known) !== undefined);
    if (hook === undefined) continue;
    throw new HookLoadError(module, `${hook} is a member of "${name}": give the hooks themselves`);
  }
}

/**
 * The value as hooks.
 * @param mayBeEmpty the module need not have hooks, since it has routes or the like
 * @throws HookLoadError if it is wrong, or has no hooks
 */
export function toHooks(module: string, value: unknown, mayBeEmpty = false): CoordinatorHooks {
  if (value === undefined && mayBeEmpty) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value) || isThenable(value)) {
    throw new HookLoadError(module, `it gives ${kindOf(value)}, not an object of hook functions`);
  }
  refuseNested(module, value);
  if (hasHooks(module, value) || mayBeEmpty) return value;
  const given = kindOf(value) === 'an object' ? '' : `${kindOf(value)}, and `;
  throw new HookLoadError(module, `it gives ${given}no hooks; there are ${HOOK_NAMES.join(', ')}`);
}

/** Refuses hooks as members of a factory function, which would never be invoked. */
export function refuseHooksOf(module: string, factory: object): void {
  const own = HOOK_NAMES.filter((name) => Object.hasOwn(factory, name));
  if (own.length === 0) return;
  const names = own.join(', ');
  throw new HookLoadError(module, `it is a function that has ${names}: return them from it`);
}
