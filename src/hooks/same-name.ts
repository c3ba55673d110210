/**
 * How rules compare the names of schemas, tables and columns: as SQL does, without their case, and with
 * an empty schema for `main`. The coordinator keeps names as they came, so that one table of a device may be
 * several here.
 */

/** The schema of a table that names none. */
export const MAIN_SCHEMA = 'main';

/** The same for all names that are one. */
export function foldName(name: string): string {
  return name.toLowerCase();
}

/** The same for all names of schemas that are one. */
export function foldSchema(schema: string): string {
  return foldName(schema) || MAIN_SCHEMA;
}

/**
 * Whether two names are one to the SQL engines of devices, though the coordinator keeps them apart:
 * compare the names in changes by this, or `PRICES` leads around a rule for `prices`.
 */
export function sameName(a: string, b: string): boolean {
  return foldName(a) === foldName(b);
}
