/**
 * Checks a module's definition before setup: it may be for a later version, or JavaScript without
 * types.
 */

import { HOOK_API_VERSION, type HookDefinition } from '../define-hooks.ts';
import { HookLoadError } from '../load-error.ts';

/** @throws HookLoadError */
export function checkDefinition(module: string, definition: HookDefinition): void {
  const { apiVersion = 1, after, requires } = definition;
  if (!Number.isInteger(apiVersion) || apiVersion < 1) {
    throw new HookLoadError(module, 'its apiVersion is an integer from 1 on');
  }
  if (apiVersion > HOOK_API_VERSION) {
    throw new HookLoadError(
      module,
      `it is written for version ${apiVersion} of the hooks, and this coordinator has ${HOOK_API_VERSION}: install a later sync-coordinator (npm install sync-coordinator@latest), or an earlier version of the module`,
    );
  }
  for (const [key, names] of Object.entries({ after, requires })) {
    if (names === undefined) continue;
    const isList = Array.isArray(names) && names.every((name) => typeof name === 'string');
    if (!isList) throw new HookLoadError(module, `its ${key} is a list of names of modules`);
  }
}
