/** How rules compare the names of schemas, tables and columns: as SQL does, without their case. */

/** The same for all names that are one. */
export function foldName(name: string): string {
  return name.toLowerCase();
}

/**
 * Whether two names are one to the SQL engines of devices, though the coordinator keeps them apart:
 * compare the names in changes by this, or `PRICES` leads around a rule for `prices`.
 */
export function sameName(a: string, b: string): boolean {
  return foldName(a) === foldName(b);
}
