/** Finds the hooks among the exports of a module. */

import { isHookDefinition } from '../define-hooks.ts';
import { isHookName } from '../kinds.ts';
import { HookLoadError } from '../load-error.ts';
import { memberNames } from './check-hooks.ts';

/** How often a default export may be wrapped in another, as transpilers and CommonJS do. */
const WRAPPINGS_MAX = 3;

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/**
 * The default export, or else the one named `hooks`.
 * @throws HookLoadError if there is none, or if there are other hooks, which would never be invoked
 */
export function moduleToExport(name: string, module: Record<string, unknown>): unknown {
  const given = unwrap(name, module);
  if (given !== module) return given;
  const strays = hooksIn(module);
  const hint = strays.length > 0 ? `; put ${strays.join(', ')} into it` : '';
  throw new HookLoadError(
    name,
    `it has no default export: export an object of hooks, or a function of the options that returns one${hint}`,
  );
}

/** The member `default` or `hooks`, or else the value itself. */
export function unwrap(name: string, value: unknown): unknown {
  let given = value;
  for (let i = 0; i < WRAPPINGS_MAX && isRecord(given) && !isHookDefinition(given); i++) {
    const main = given.default ?? given.hooks;
    if (main === undefined || main === given) break;
    refuseStrays(name, given, main);
    given = main;
  }
  return given;
}

function hooksIn(value: object): string[] {
  return [...memberNames(value)].filter(
    (name) => isHookName(name) && Reflect.get(value, name) !== undefined,
  );
}

function refuseStrays(name: string, wrapping: Record<string, unknown>, main: unknown): void {
  const isElsewhere = (key: string) => wrapping[key] !== Reflect.get(Object(main), key);
  const strays = hooksIn(wrapping).filter(isElsewhere);
  const { hooks } = wrapping;
  if (hooks !== main && isRecord(hooks) && isElsewhere('hooks')) {
    strays.push(...hooksIn(hooks).map((hook) => `hooks.${hook}`));
  }
  if (strays.length === 0) return;
  const where = wrapping.default === main ? 'its default export' : '"hooks"';
  throw new HookLoadError(name, `${strays.join(', ')} is beside ${where}: put all hooks into it`);
}
