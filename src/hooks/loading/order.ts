/**
 * The order of modules: as they are listed, with `enforce` before or after the others. A module
 * comes after those of its `after` and `requires` in any case.
 */

import { HookLoadError } from '../load-error.ts';

export interface Ordered {
  /** Its name in the list, for messages. */
  module: string;
  /** The name that others use for it; several may have the same. */
  name: string;
  enforce?: 'pre' | 'post' | undefined;
  after?: readonly string[] | undefined;
  requires?: readonly string[] | undefined;
}

const RANKS = { pre: 0, post: 2 };
const MIDDLE_RANK = 1;

const rankOf = ({ enforce }: Ordered) => (enforce === undefined ? MIDDLE_RANK : RANKS[enforce]);

/** @throws HookLoadError if a required module is missing, or modules require each other */
export function inOrder<Item extends Ordered>(items: readonly Item[]): Item[] {
  for (const { module, requires = [] } of items) {
    const missing = requires.find((name) => !items.some((other) => other.name === name));
    if (missing === undefined) continue;
    throw new HookLoadError(module, `it requires the module "${missing}", which is not listed`);
  }
  const left = items.toSorted((a, b) => rankOf(a) - rankOf(b));
  const ordered: Item[] = [];
  while (left.length > 0) {
    const next = left.findIndex((item) => left.every((other) => !waitsFor(item, other)));
    if (next < 0) throw toCycleError(left);
    ordered.push(...left.splice(next, 1));
  }
  return ordered;
}

function waitsFor(item: Ordered, other: Ordered): boolean {
  const { after = [], requires = [] } = item;
  return item !== other && (after.includes(other.name) || requires.includes(other.name));
}

/** The error for modules that all wait for another one of them. */
function toCycleError(waiting: readonly Ordered[]): HookLoadError {
  const path: Ordered[] = [];
  let at = waiting[0];
  while (at !== undefined && !path.includes(at)) {
    path.push(at);
    const from: Ordered = at;
    at = waiting.find((other) => waitsFor(from, other));
  }
  const cycle = at === undefined ? path : [...path.slice(path.indexOf(at)), at];
  const names = cycle.map(({ name }) => name).join(' after ');
  return new HookLoadError(cycle[0]?.module, `the order can't be met: ${names}`);
}
