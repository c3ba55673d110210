/** Finds the table and row of each change of a set, by the current catalog. */

import type { WireChange } from '../../protocol/schemas.ts';
import { pkIdentity } from '../../protocol/values.ts';
import { changedRowJson, type JsonNames } from '../records/change-json.ts';
import type { Pace } from '../records/pace.ts';
import type { LoadedRow, RowAddress } from '../records/row-set.ts';
import { isLive, type TableRecord } from '../records/table-record.ts';

/** The table and row of a change. Consecutive changes of one row share it. */
export interface ChangeTarget {
  table: TableRecord;
  /** Whether changes that take effect are logged and sent; otherwise they are only stored. */
  isLive: boolean;
  address: RowAddress;
  /** The key as these changes spell it, JSON. */
  pk: string;
  /** See `changedRowJson`. */
  json: string;
}

/** The row of a change as the transaction has it. */
export interface TargetRow {
  target: ChangeTarget;
  loaded: LoadedRow;
}

/**
 * One target for each change; `undefined` for one without a table.
 * @param tableOf finds the table of a change
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
  for (let i = 0; i < changes.length; i++) {
    const change = changes[i] as WireChange;
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
  // The log gets the current name of the table.
  const json = changedRowJson(names.json(schema), names.json(table.table ?? name), pk);
  return { table, isLive: isLive(table), address, pk, json };
}

/**
 * Whether two changes name one row with the same spelling. Cells of one row most often follow each
 * other, so that they can share a target. (-0 and 0 are one key, and both are JSON's 0.)
 */
export function isOfSameRow(a: WireChange, b: WireChange): boolean {
  if (a.table !== b.table || a.schema !== b.schema || a.pk.length !== b.pk.length) return false;
  for (let i = 0; i < a.pk.length; i++) {
    const value = a.pk[i];
    if (value !== b.pk[i] || (typeof value === 'object' && value !== null)) return false;
  }
  return true;
}
