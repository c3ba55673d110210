/** Turns rows that the server itself writes into changes, with the same checks as for clients. */

import { UNDATED } from '../../engine/merge/own-write.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { RowWrite } from '../../hooks/coordinator-access.ts';
import { MAIN_SCHEMA } from '../../hooks/same-name.ts';
import type { WireChange } from '../../protocol/schemas.ts';
import { encodeValue, type SqlValue, valueFault } from '../../protocol/values.ts';
import { decodeParsed } from '../../wire/decode-changes.ts';

const NOBODY = 'A'.repeat(22);

/**
 * @param changesMax the most cells and deletions in one write
 * @throws SyncError MESSAGE_ERROR, TOO_LARGE
 */
export function toChanges(rows: readonly RowWrite[], changesMax: number): WireChange[] {
  if (!Array.isArray(rows)) throw new SyncError('MESSAGE_ERROR', 'rows: must be an array');
  const changes = rows.flatMap((row, i) => changesOf(row, `rows[${i}]`));
  const set = { siteId: NOBODY, transactionId: 'rows', hlc: UNDATED, changes };
  return decodeParsed([set], changesMax, 'rows').flatMap(({ changes: checked }) => checked);
}

function changesOf(row: RowWrite, place: string): unknown[] {
  if (typeof row !== 'object' || row === null || !Array.isArray(row.pk)) {
    throw new SyncError('MESSAGE_ERROR', `${place}.pk: must be an array of values`);
  }
  const { schema = MAIN_SCHEMA, table, pk } = row;
  if (typeof table !== 'string' || table === '') {
    throw new SyncError('MESSAGE_ERROR', `${place}.table: must be the name of a table`);
  }
  const common = { schema, table, hlc: UNDATED };
  const key = pk.map((value, i) => toWire(value, `${place}.pk[${i}]`));
  if ('delete' in row && 'set' in row) {
    throw new SyncError('MESSAGE_ERROR', `${place}: has both set and delete`);
  }
  if ('delete' in row && row.delete === true) return [{ type: 'delete', ...common, pk: key }];
  const set: unknown = Reflect.get(row, 'set');
  if (typeof set !== 'object' || set === null) {
    throw new SyncError('MESSAGE_ERROR', `${place}: needs set, or delete: true`);
  }
  return Object.entries(set).map(([column, value]) => ({
    ...{ type: 'column', ...common, pk: key, column },
    value: toWire(value, `${place}.set.${column}`),
  }));
}

/** Copies the value, so that the module may change its objects afterwards. */
function toWire(value: SqlValue | undefined, place: string): unknown {
  const encoded = value === undefined ? undefined : encodeValue(value);
  const fault = valueFault(encoded);
  if (fault !== undefined) throw new SyncError('MESSAGE_ERROR', `${place}: ${fault}`);
  if (typeof encoded !== 'object' || encoded === null) return encoded;
  return JSON.parse(
    JSON.stringify(encoded, function (this: Record<string, unknown>, key, member) {
      // JSON would turn a Date or a Map into something that was not meant.
      if (isPlain(this[key])) return member;
      throw new SyncError('MESSAGE_ERROR', `${place}: holds what is no JSON`);
    }),
  );
}

function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
