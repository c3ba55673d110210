/**
 * Modules that ask different issuers may call different people by one name: rights, shares and sessions
 * then are of one user. Told from their option `userPrefix`, which modules have that can keep them apart.
 */

import type { LoadedHooks } from './loaded-hooks.ts';

/** @returns for each two that give the same names, who they are; for people */
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
