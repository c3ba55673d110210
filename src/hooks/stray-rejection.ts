/** Whose promise it was that rejected without anybody waiting for it: its stack may tell. */

import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import type { LoadedHooks } from './loaded-hooks.ts';

/** @returns the module's name; `undefined` where the stack names none */
export function findCulprit(
  reason: unknown,
  modules: readonly Pick<LoadedHooks, 'name' | 'source'>[],
): string | undefined {
  const stack = reason instanceof Error ? (reason.stack ?? '') : inspect(reason);
  const lines = stack.split('\n').filter((line) => /^\s+at /.test(line));
  // The innermost frame that is of a module: it may have been called by another.
  for (const line of lines) {
    const module = modules.find(({ source }) => isOf(line, source));
    if (module !== undefined) return module.name;
  }
  return undefined;
}

function isOf(frame: string, source: string): boolean {
  if (!source.startsWith('file:')) return false;
  const path = fileURLToPath(source);
  // What was translated to CommonJS runs from a data: URL, which holds the path.
  return [source, path, encodeURIComponent(path)].some((name) => frame.includes(name));
}
