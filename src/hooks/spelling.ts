/**
 * Whether a change is of the table, column or row that a rule is about. Names have more than one spelling to
 * devices, and keys are not only texts and numbers, so a rule that compares them by itself is led around.
 */

import type { Change } from '../protocol/types.ts';
import { encodeValue, pkIdentity, type SqlValue } from '../protocol/values.ts';
import type { BatchReader, TableName } from './reader.ts';
import { foldSchema, MAIN_SCHEMA, sameName } from './same-name.ts';

/**
 * `exact`: it is this one. `other`: devices take it for this one, but the coordinator keeps it apart, so that
 * nothing which is read of this one tells of it. `none`: it is another one.
 */
export type Spelling = 'exact' | 'other' | 'none';

/**
 * How a change names a table, or with `column` a column of one. A rule that reads what is stored has to reject
 * what is spelt in another way. A deletion is of no column: what is said of columns does not hold for it.
 */
export function spellingOf(
  change: Change,
  { schema = MAIN_SCHEMA, table, column }: TableName & { column?: string },
): Spelling {
  const ofColumn = change.type === 'column' ? change.column : undefined;
  const isOne =
    foldSchema(change.schema) === foldSchema(schema) &&
    sameName(change.table, table) &&
    (column === undefined || (ofColumn !== undefined && sameName(ofColumn, column)));
  if (!isOne) return 'none';
  const isExact =
    change.schema === schema &&
    change.table === table &&
    (column === undefined || ofColumn === column);
  return isExact ? 'exact' : 'other';
}

/**
 * The same for rules that read: a spelling that leads to the very table, since that was renamed from one to the
 * other (`Notes` to `notes`), is `exact`, too. What is read of it goes to the same rows.
 * @param read `call.read`
 */
export async function spellingIn(
  read: Pick<BatchReader, 'sameTable'>,
  change: Change,
  { schema = MAIN_SCHEMA, table, column }: TableName & { column?: string },
): Promise<Spelling> {
  const spelling = spellingOf(change, {
    schema,
    table,
    ...(column === undefined ? {} : { column }),
  });
  if (spelling !== 'other') return spelling;
  const written = { schema: change.schema, table: change.table };
  const isColumn = column === undefined || (change.type === 'column' && change.column === column);
  return isColumn && (await read.sameTable(written, { schema, table })) ? 'exact' : 'other';
}

/** What names a row, such as a change. */
export type RowName = TableName & { pk: readonly SqlValue[] };

/**
 * A text that two rows share exactly if they are one to the coordinator: of one table, in one spelling, with
 * equal keys. Numbers and big integers are compared by value, bytes and JSON by what they hold.
 */
export function rowIdentity({ schema = MAIN_SCHEMA, table, pk }: RowName): string {
  return JSON.stringify([schema, table, pkIdentity(pk.map(encodeValue))]);
}

/** Whether two changes, for instance, are of one row, as the coordinator has it: see `rowIdentity`. */
export function sameRow(a: RowName, b: RowName): boolean {
  return rowIdentity(a) === rowIdentity(b);
}
