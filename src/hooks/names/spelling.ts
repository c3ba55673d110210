/**
 * Tells whether a change is of the table, column or row of a rule. Devices accept several spellings
 * of a name, and keys are not only texts and numbers, so a rule that compares them by itself can be
 * evaded.
 */

import type { Change } from '../../protocol/types.ts';
import { encodeValue, pkIdentity, type SqlValue } from '../../protocol/values.ts';
import type { BatchReader, TableName } from '../reader.ts';
import { foldSchema, MAIN_SCHEMA, sameName } from '../same-name.ts';

/**
 * `exact`: it is the same. `other`: devices take it for the same, but the coordinator tells them
 * apart, so reading the one shows nothing of the other. `none`: it is different.
 */
export type Spelling = 'exact' | 'other' | 'none';

/**
 * How a change spells a table or, with `column`, a column of it. A rule that reads stored rows has
 * to reject other spellings. A deletion is of no column, so with `column` it is `none`.
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
 * The same for rules that read stored rows: another spelling of the same table, since it was
 * renamed from one to the other (`Notes` to `notes`), is `exact`, too. Reading it gives the same
 * rows.
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

/** Identifies a row, as a change does. */
export type RowName = TableName & { pk: readonly SqlValue[] };

/**
 * A text that is equal for two rows exactly if they are one to the coordinator: same table, same
 * spelling, equal keys. Numbers and big integers are compared by value, bytes and JSON by content.
 */
export function rowIdentity({ schema = MAIN_SCHEMA, table, pk }: RowName): string {
  return JSON.stringify([schema, table, pkIdentity(pk.map(encodeValue))]);
}

/** Whether two changes (or rows) are of one row to the coordinator: see `rowIdentity`. */
export function sameRow(a: RowName, b: RowName): boolean {
  return rowIdentity(a) === rowIdentity(b);
}
