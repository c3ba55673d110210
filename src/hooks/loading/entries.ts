/** Reads the entries that name hook modules, from a configuration or from code. */

import { isHookDefinition } from '../define-hooks.ts';
import { HookLoadError } from '../load-error.ts';
import type { PlacedHooks } from './hook-entry.ts';

export type ModuleEntry = PlacedHooks<unknown>;

const KEYS = ['module', 'options', 'databases', 'tables', 'timeoutMs', 'enforce', 'from'];
const TIMEOUT_MS_MAX = 24 * 60 * 60 * 1000;

/**
 * @param place where the entry is, for the message
 * @throws HookLoadError
 */
export function readEntry(entry: unknown, place: string): ModuleEntry {
  if (Array.isArray(entry)) {
    const [module, options] = entry;
    if (entry.length >= 1 && entry.length <= 2) return { module, options };
    throw new HookLoadError(place, 'a list is [module, options]');
  }
  return isPlaced(entry) ? readPlaced(entry, place) : { module: entry };
}

/** Whether it is an entry, not hooks: these have no member `module`. */
function isPlaced(entry: unknown): entry is Record<string, unknown> {
  if (typeof entry !== 'object' || entry === null || isHookDefinition(entry)) return false;
  return Object.hasOwn(entry, 'module');
}

function readPlaced(entry: Record<string, unknown>, place: string): ModuleEntry {
  const demand = (condition: boolean, reason: string) => {
    if (!condition) throw new HookLoadError(place, reason);
  };
  const unknown = Object.keys(entry).filter((key) => !KEYS.includes(key));
  demand(unknown.length === 0, `"${unknown[0]}" is none of ${KEYS.join(', ')}`);
  const { module, options, databases, tables, timeoutMs, enforce, from } = entry;
  demand(module !== undefined, 'module is missing');
  demand(isNames(databases), 'databases is a list of their ids, of one at least');
  demand(isNames(tables), 'tables is a list of their names, of one at least');
  demand(isTime(timeoutMs), `timeoutMs is an integer from 1 to ${TIMEOUT_MS_MAX}`);
  demand(
    enforce === undefined || enforce === 'pre' || enforce === 'post',
    'enforce is pre or post',
  );
  demand(from === undefined || typeof from === 'string', 'from is a directory');
  return { module, options, ...({ databases, tables, timeoutMs, enforce, from } as object) };
}

/** An empty list is refused: the module would never be invoked. */
function isNames(value: unknown): boolean {
  if (value === undefined) return true;
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((name) => typeof name === 'string' && name !== '')
  );
}

function isTime(value: unknown): boolean {
  if (value === undefined) return true;
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= TIMEOUT_MS_MAX;
}
