/**
 * Clearing away, in small steps: tombstones past their time, and the rows of tables that
 * were dropped. A step is one transaction, so a writer never waits for more than one.
 */

import { type HlcText, hlcWallTimeMs, maxHlc, minHlc } from '../clock/hlc.ts';
import type { KVTransaction } from '../storage/kv-store.ts';
import type { Catalog, TableRecord } from './catalog.ts';
import { readHorizon } from './head.ts';
import { HORIZON_KEY, kindRange, tableRange, tombstoneToRowKey } from './keys.ts';
import { decodeRow, encodeRow } from './row.ts';
import { decodeListedTombstone } from './row-set.ts';

const STEP_ENTRIES_MAX = 1000;

export interface ExpiryStep {
  removed: number;
  /** Where the next step goes on; `undefined` when the end has been reached. */
  next: Uint8Array | undefined;
}

/**
 * Tombstones that arrived before `beforeMs` are sent to nobody from now on, and the horizon moves
 * past them in the same transaction: a device that might still need one is sent to a snapshot.
 * Of a row that is gone its key and the deletion's HLC stay. They are what keeps an edit from before
 * the deletion from bringing the row back, however late it arrives.
 * @param end the newest position. The horizon stays within the log: a deletion that is held for a
 *   dropped name has a position that nobody was ever given, and no snapshot would reach up to it
 * @param from where the last step ended
 */
export async function expireTombstones(
  transaction: KVTransaction,
  beforeMs: number,
  end: HlcText,
  from: Uint8Array | undefined,
): Promise<ExpiryStep> {
  const all = kindRange('d');
  const range = from === undefined ? all : { gt: from, lt: all.lt };
  const expired: { key: Uint8Array; position: HlcText }[] = [];
  let seen = 0;
  let last: Uint8Array | undefined;
  for await (const entries of transaction.iterate({ ...range, limit: STEP_ENTRIES_MAX })) {
    for (const [key, value] of entries) {
      const { position } = decodeListedTombstone(value);
      if (hlcWallTimeMs(position) < beforeMs) expired.push({ key: Buffer.from(key), position });
      last = Buffer.from(key);
      seen++;
    }
  }
  if (expired.length > 0) await expire(transaction, expired, end);
  return { removed: expired.length, next: seen < STEP_ENTRIES_MAX ? undefined : last };
}

async function expire(
  transaction: KVTransaction,
  expired: readonly { key: Uint8Array; position: HlcText }[],
  end: HlcText,
): Promise<void> {
  const rowKeys = expired.map(({ key }) => tombstoneToRowKey(key));
  const rows = await transaction.getMany(rowKeys);
  let horizon = await readHorizon(transaction);
  expired.forEach(({ key, position }, i) => {
    transaction.delete(key);
    horizon = maxHlc(horizon, minHlc(position, end));
    const bytes = rows[i];
    const rowKey = rowKeys[i];
    if (bytes === undefined || rowKey === undefined) return;
    const row = decodeRow(bytes);
    if (row.tombstone !== undefined) row.tombstone.position = undefined;
    const text = encodeRow(row);
    if (text !== undefined) transaction.put(rowKey, Buffer.from(text));
  });
  transaction.put(HORIZON_KEY, Buffer.from(horizon));
}

/** Clears away some of a dropped table. @returns whether the table is gone */
export async function clearDroppedTable(
  transaction: KVTransaction,
  catalog: Catalog,
  table: TableRecord,
): Promise<boolean> {
  let seen = 0;
  for (const kind of ['r', 'd'] as const) {
    const limit = STEP_ENTRIES_MAX - seen;
    if (limit === 0) return false;
    for await (const entries of transaction.iterate({ ...tableRange(kind, table.id), limit })) {
      for (const [key] of entries) transaction.delete(key);
      seen += entries.length;
    }
  }
  if (seen === STEP_ENTRIES_MAX) return false;
  catalog.forget(table, transaction);
  return true;
}
