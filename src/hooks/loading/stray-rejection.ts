/** Finds the module of an unhandled rejection, by its stack. */

import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import type { LoadedHooks } from './loaded-hooks.ts';

/** @returns the module's name; `undefined` if the stack has none */
export function findCulprit(
  reason: unknown,
  modules: readonly Pick<LoadedHooks, 'name' | 'source'>[],
): string | undefined {
  const stack = reason instanceof Error ? (reason.stack ?? '') : inspect(reason);
  const lines = stack.split('\n').filter((line) => /^\s+at /.test(line));
  // The innermost frame of a module counts, since another module may have called it.
  for (const line of lines) {
    const module = modules.find(({ source }) => isOf(line, source));
    if (module !== undefined) return module.name;
  }
  return undefined;
}

function isOf(frame: string, source: string): boolean {
  if (!source.startsWith('file:')) return false;
  const path = fileURLToPath(source);
  // Code that was transpiled to CommonJS runs from a data: URL, which contains the path.
  return [source, path, encodeURIComponent(path)].some((name) => frame.includes(name));
}
