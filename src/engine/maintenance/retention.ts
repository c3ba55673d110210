/**
 * Forgets deletions past their time, in small steps. A step is one transaction, so a writer never
 * waits for more than one.
 */

import { type HlcText, hlcWallTimeMs, maxHlc, minHlc } from '../../clock/hlc.ts';
import type { KVTransaction } from '../../storage/kv-store.ts';
import { readHorizon } from '../records/head.ts';
import { HORIZON_KEY, kindRange, tombstoneToRowKey } from '../records/keys.ts';
import { decodeRow, encodeRow } from '../records/row.ts';
import { decodeListedTombstone } from '../records/row-set.ts';
import type { Catalog } from '../tables/catalog.ts';

const STEP_ENTRIES_MAX = 1000;

export interface ExpiryStep {
  removed: number;
  /** Where the next step begins; `undefined` at the end. */
  next: Uint8Array | undefined;
}

/**
 * Expires tombstones that arrived before `beforeMs`: no client is sent them from now on. The same
 * transaction moves the horizon past them, so a device that may still need one has to take a
 * snapshot. The row's key and the HLC of the deletion are kept: an edit from before the deletion
 * never brings the row back, however late it arrives.
 * @param end the newest position. The horizon must not pass it: a deletion that is held for a
 *   dropped name has a position that no client was ever given, and no snapshot would reach that
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

/**
 * A drop deletes many rows, and is forgotten like a deletion: the horizon moves past drops that
 * arrived before `beforeMs`.
 */
export async function expireDrops(
  transaction: KVTransaction,
  catalog: Catalog,
  beforeMs: number,
): Promise<void> {
  const before = await readHorizon(transaction);
  let horizon = before;
  for (const { type, aside, at } of catalog.slots.values()) {
    if (type !== 'drop_table' || aside || hlcWallTimeMs(at) >= beforeMs) continue;
    horizon = maxHlc(horizon, at);
  }
  if (horizon !== before) transaction.put(HORIZON_KEY, Buffer.from(horizon));
}
