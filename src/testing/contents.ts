/** What devices hold, for comparison: the values of each row, by schema, table and primary key. */

export type Contents = Record<string, Readonly<Record<string, unknown>>>;

/**
 * The contents without columns that are null, since SQL reads a missing cell as null. A revert of a
 * refused column sends null to one device, while all others have no cell.
 */
export function withoutNulls(contents: Contents): Contents {
  const isSet = ([, value]: [string, unknown]) => value !== null;
  return Object.fromEntries(
    Object.entries(contents).map(([key, values]) => [
      key,
      Object.fromEntries(Object.entries(values).filter(isSet)),
    ]),
  );
}
