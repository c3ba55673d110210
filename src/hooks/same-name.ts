/**
 * Compares names of schemas, tables and columns for rules: as SQL does, ignoring case, and with an
 * empty schema as `main`. The coordinator itself tells such names apart, so one table of a device
 * may be several here.
 */

/** The schema of a table that names none. */
export const MAIN_SCHEMA = 'main';

/** Equal for all names that SQL takes for one. */
export function foldName(name: string): string {
  return name.toLowerCase();
}

/** The same for names of schemas. */
export function foldSchema(schema: string): string {
  return foldName(schema) || MAIN_SCHEMA;
}

/**
 * Whether two names are one to the SQL engines of devices, even if the coordinator tells them
 * apart. Compare the names in changes with this, or `PRICES` evades a rule for `prices`.
 */
export function sameName(a: string, b: string): boolean {
  return foldName(a) === foldName(b);
}
