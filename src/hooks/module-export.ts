/** What a hook module is meant to give, out of all that it exports. */

import { isHookName } from './kinds.ts';
import { HookLoadError } from './load-error.ts';

/** Transpilers and CommonJS wrap a default export in another, at most so often. */
const WRAPPINGS_MAX = 2;

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function mainExport(module: Record<string, unknown>): unknown {
  return module.default ?? module.hooks;
}

/** The default export, else the one named `hooks`. */
export function moduleToExport(name: string, module: Record<string, unknown>): unknown {
  let given = mainExport(module);
  for (let i = 0; i < WRAPPINGS_MAX && isRecord(given); i++) given = mainExport(given) ?? given;
  if (given !== undefined) return given;

  const strays = Object.keys(module).filter(isHookName);
  const hint = strays.length > 0 ? `; put ${strays.join(', ')} into it` : '';
  throw new HookLoadError(
    name,
    `it has no default export: export an object of hooks, or a function of the options that returns one${hint}`,
  );
}
