/** Where the changes of a set belong, by the catalog as it is, whatever names they were written for. */

import type { WireChange } from '../../protocol/schemas.ts';
import { pkIdentity } from '../../protocol/values.ts';
import { changedRowJson, type JsonNames } from '../records/change-json.ts';
import type { Pace } from '../records/pace.ts';
import type { RowAddress } from '../records/row-set.ts';
import { isLive, type TableRecord } from '../records/table-record.ts';

/** Changes of one row that follow each other share it. */
export interface ChangeTarget {
  table: TableRecord;
  /** Whether what takes effect there is sent; else it is held. */
  isLive: boolean;
  address: RowAddress;
  /** The key as these changes spell it, JSON. */
  pk: string;
  /** See `changedRowJson`. */
  json: string;
}

/**
 * One for each change; `undefined` for one that goes nowhere.
 * @param tableOf the table that a change goes to, or none
 */
export async function targetsOf(
  changes: readonly WireChange[],
  names: JsonNames,
  tableOf: (change: WireChange) => TableRecord | undefined,
  pace: Pace,
): Promise<(ChangeTarget | undefined)[]> {
  let last: WireChange | undefined;
  let target: ChangeTarget | undefined;
  const targets: (ChangeTarget | undefined)[] = [];
  for (const change of changes) {
    const table = tableOf(change);
    const isSame = last !== undefined && target?.table === table && isOfSameRow(change, last);
    last = change;
    if (!isSame) target = table && createTarget(change, table, names);
    targets.push(target);
    const turn = isSame ? undefined : pace.did(1, target?.pk.length);
    if (turn !== undefined) await turn;
  }
  return targets;
}

function createTarget(
  { schema, table: name, pk: key }: WireChange,
  table: TableRecord,
  names: JsonNames,
): ChangeTarget {
  const pk = JSON.stringify(key);
  const address = { tableId: table.id, identity: pkIdentity(key) };
  // What is logged goes by the name that holds now.
  const json = changedRowJson(names.json(schema), names.json(table.table ?? name), pk);
  return { table, isLive: isLive(table), address, pk, json };
}

/**
 * Whether two changes name one row in the same words. The cells of a row follow each other: what
 * was worked out for one serves the next. (-0 and 0 are one key, and leave as JSON's 0 both.)
 */
export function isOfSameRow(a: WireChange, b: WireChange): boolean {
  if (a.table !== b.table || a.schema !== b.schema || a.pk.length !== b.pk.length) return false;
  for (let i = 0; i < a.pk.length; i++) {
    const value = a.pk[i];
    if (value !== b.pk[i] || (typeof value === 'object' && value !== null)) return false;
  }
  return true;
}
