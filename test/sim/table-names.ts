/**
 * Which tables of a simulation are made, dropped and renamed, and what is promised of each.
 *
 *   t u secret    never dropped or renamed: `Oracle` knows what has to be in them to the cell
 *   base          every device makes it when it starts, and nobody drops it
 *   again         made and dropped again and again, under one name
 *   gone-N big    made, written to and dropped for good, or made again much later
 *   chain-N       one table, renamed again and again, and no name of it is used a second time
 *   a b c d       all of it, in any order: only that everybody agrees is promised
 *   nobody-N      what is done to them is always refused, so nobody ever hears of them
 */

const PLAIN = new Set(['t', 'u', 'secret']);

/** Tables that no drop and no rename ever touches. */
export function isPlain(table: string): boolean {
  return PLAIN.has(table);
}

/** Tables that DDL brings and takes away. */
export function isManaged(table: string): boolean {
  return !isPlain(table) && !table.startsWith('nobody-');
}

/** Names that renames lead to and from. */
export const MIXED_NAMES: readonly string[] = ['a', 'b', 'c', 'd'];

export function isMixed(table: string): boolean {
  return MIXED_NAMES.includes(table);
}

/** Whether somebody may make it later than others write to it, and it is the same table all the while. */
export function isNeverDropped(table: string): boolean {
  return table === 'base';
}

export function isChain(table: string): boolean {
  return table.startsWith('chain-');
}

/** Whether a name means one table at a time, that of its newest CREATE. */
export function isNeverRenamed(table: string): boolean {
  return isManaged(table) && !isChain(table) && !isMixed(table);
}

/**
 * `all`: every device changes tables; `many`: likewise, and devices are held against a new one; `one`: one
 * that knows of all that was done; `none`: nobody.
 */
export type DdlMode = 'none' | 'one' | 'all' | 'many';
export const DDL_MODES: readonly DdlMode[] = ['none', 'one', 'all', 'many'];

/** Half of all seeds do without: what they found before they go on looking for. */
export function seedToDdlMode(seed: number): DdlMode {
  return (['none', 'one', 'none', 'all'] as const)[seed % 4] ?? 'none';
}
