/**
 * Encodes arrays of byte strings for PostgreSQL in its binary form: as text they would be twice as
 * long, and have to be parsed. `pg` sends a Buffer unchanged.
 *
 *     dimensions 1 (4) · has nulls 0 (4) · type bytea 17 (4) · length (4) · first index 1 (4)
 *     for each: length (4) · bytes
 *
 * Source: PostgreSQL's src/backend/utils/adt/arrayfuncs.c, array_recv.
 */

const BYTEA_OID = 17;
const HEADER_BYTES = 20;

export function toByteaArray(items: readonly Uint8Array[]): Buffer {
  const size = items.reduce((sum, item) => sum + 4 + item.length, HEADER_BYTES);
  const bytes = Buffer.allocUnsafe(size);
  // An array without elements has no dimension.
  bytes.writeInt32BE(items.length === 0 ? 0 : 1, 0);
  bytes.writeInt32BE(0, 4);
  bytes.writeInt32BE(BYTEA_OID, 8);
  if (items.length === 0) return bytes.subarray(0, 12);
  bytes.writeInt32BE(items.length, 12);
  bytes.writeInt32BE(1, 16);
  let offset = HEADER_BYTES;
  for (const item of items) {
    offset = bytes.writeInt32BE(item.length, offset);
    bytes.set(item, offset);
    offset += item.length;
  }
  return bytes;
}
