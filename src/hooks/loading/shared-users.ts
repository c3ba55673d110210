/**
 * Finds modules that may give the same `userId` to different people, as tokens of different issuers
 * do: these would share rights, limits and sessions. Modules that can avoid it have the option
 * `userPrefix`.
 */

import type { LoadedHooks } from './loaded-hooks.ts';

/** @returns a warning for each two modules with the same prefix */
export function sharedUsers(modules: readonly LoadedHooks[]): string[] {
  const firstByPrefix = new Map<string, string>();
  const shared: string[] = [];
  for (const { name, options, optionsSchema } of modules) {
    const properties: unknown = Reflect.get(Object(optionsSchema), 'properties');
    if (!Object.hasOwn(Object(properties), 'userPrefix')) continue;
    const given: unknown = Reflect.get(Object(options), 'userPrefix');
    const prefix = typeof given === 'string' ? given : '';
    const first = firstByPrefix.get(prefix);
    if (first === undefined) firstByPrefix.set(prefix, name);
    else {
      shared.push(
        `users of ${first} and ${name} that have one name are one user: give one of them a userPrefix of its own`,
      );
    }
  }
  return shared;
}
