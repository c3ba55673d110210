/**
 * The keys of a database's store. The first byte of a key tells the kind:
 *
 *   m name                    head, site id, horizon, when it was replaced
 *   t id(4)                   a table: its name, the floor of its drop, its successor
 *   n schema, name            a name: to which tables it leads, and led
 *   g slot                    DDL by (schema, kind, name, schemaVersion)
 *   c id(4)                   how many cells a table holds: a figure for people
 *   h id(4) identity          a held row: what sites hold of it since their changes were refused
 *   f hlc(30) siteId(16)      nothing: up to this HLC a site may hold refused changes, and is told so
 *   p name                    a log pin: who still reads the log, and from where
 *   s siteId(16)              what a site has sent, and which snapshot it got
 *   l position(30)            the log: one transaction a record, in order of arrival
 *   e position(30)            nothing: the record at this position of the log holds DDL
 *   r id(4) identity          a row: its cells and its tombstone
 *   d id(4) identity          its tombstone once more, so that all of them can be listed
 *
 * Numbers are big-endian, so that ranges are in order. Rows refer to a table's id, not to its name:
 * renaming or dropping a table touches a few records, however large it is.
 */

import { createHash } from 'node:crypto';
import { HLC_BYTES, type HlcText } from '../../clock/hlc.ts';
import { SITE_ID_BYTES, type SiteIdText, siteIdToText } from '../../clock/site-id.ts';
import type { KVRange } from '../../storage/kv-store.ts';

/** Keys hold longer texts as their SHA-256, since some stores limit the size of a key. */
const KEY_TEXT_BYTES_MAX = 256;
/**
 * Comes before a hash. It is never the first byte of UTF-8, so a hashed text can't equal a plain
 * one.
 */
const HASHED = 0xff;

export const metaKey = (name: 'head' | 'site' | 'horizon' | 'replaced'): Buffer =>
  Buffer.from(`m${name}`);
export const HEAD_KEY = metaKey('head');
export const SITE_KEY = metaKey('site');
export const HORIZON_KEY = metaKey('horizon');
export const REPLACED_KEY = metaKey('replaced');

/** A key of one kind that ends in a text; the bytes from 1 to `start` are for the caller to fill in. */
function textKey(kind: string, text: string, start = 1): Buffer {
  const length = text.length <= KEY_TEXT_BYTES_MAX ? Buffer.byteLength(text) : text.length;
  if (length > KEY_TEXT_BYTES_MAX) {
    const hash = createHash('sha256').update(text).digest();
    return Buffer.concat([bytesOfKind(kind, start), Buffer.of(HASHED), hash]);
  }
  const key = bytesOfKind(kind, start + length);
  key.write(text, start);
  return key;
}

/** Bytes of which only the first one is set. */
function bytesOfKind(kind: string, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  bytes[0] = kind.charCodeAt(0);
  return bytes;
}

function tableKeyed(kind: string, tableId: number, identity: string): Buffer {
  const key = textKey(kind, identity, 5);
  key.writeUInt32BE(tableId, 1);
  return key;
}

export const migrationKey = (slot: string): Buffer => textKey('g', slot);
export const nameKey = (schema: string, table: string): Buffer =>
  textKey('n', JSON.stringify([schema, table]));
export const rowKey = (tableId: number, identity: string): Buffer =>
  tableKeyed('r', tableId, identity);
export const tombstoneKey = (tableId: number, identity: string): Buffer =>
  tableKeyed('d', tableId, identity);
export const heldKey = (tableId: number, identity: string): Buffer =>
  tableKeyed('h', tableId, identity);
export const tableKey = (tableId: number): Buffer => tableKeyed('t', tableId, '');
export const countKey = (tableId: number): Buffer => tableKeyed('c', tableId, '');

export const logPinKey = (name: string): Buffer => textKey('p', name);

export function isLogPinKey(key: Uint8Array): boolean {
  return key[0] === 'p'.charCodeAt(0);
}

/** The name in a log pin's key: names are too short to be hashed. */
export function logPinKeyToName(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset + 1, key.byteLength - 1).toString();
}

export function siteKey(site: SiteIdText): Buffer {
  const key = bytesOfKind('s', 1 + SITE_ID_BYTES);
  key.write(site, 1, 'base64url');
  return key;
}

export function floorKey(hlc: HlcText, site: SiteIdText): Buffer {
  const key = hlcKey('f', hlc, 1 + HLC_BYTES + SITE_ID_BYTES);
  key.write(site, 1 + HLC_BYTES, 'base64url');
  return key;
}

export function floorKeyToListed(key: Uint8Array): { hlc: HlcText; site: SiteIdText } {
  const hlc = Buffer.from(key.subarray(1, 1 + HLC_BYTES)).toString('base64');
  return { hlc, site: siteIdToText(key.subarray(1 + HLC_BYTES)) };
}

/** The range of floors from an HLC on, up to another if there is one. */
export function floorRange(from: HlcText, before?: HlcText): KVRange {
  return { gte: hlcKey('f', from), lt: before === undefined ? kindEnd('f') : hlcKey('f', before) };
}

function hlcKey(kind: 'l' | 'e' | 'f', hlc: HlcText, length = 1 + HLC_BYTES): Buffer {
  const key = bytesOfKind(kind, length);
  key.write(hlc, 1, 'base64');
  return key;
}

export const logKey = (position: HlcText): Buffer => hlcKey('l', position);
export const ddlKey = (position: HlcText): Buffer => hlcKey('e', position);

/** The key of a row, from that of its held row. */
export function heldToRowKey(held: Uint8Array): Buffer {
  const key = Buffer.from(held);
  key[0] = 'r'.charCodeAt(0);
  return key;
}

/** The number of the table in the key of a held row. */
export function heldKeyToTable(held: Buffer): number {
  return held.readUInt32BE(1);
}

/** The key of a row's tombstone, from that of the row. */
export function rowToTombstoneKey(row: Uint8Array): Buffer {
  const key = Buffer.from(row);
  key[0] = 'd'.charCodeAt(0);
  return key;
}

/** The key of a row, from that of its tombstone. */
export function tombstoneToRowKey(tombstone: Uint8Array): Buffer {
  const key = Buffer.from(tombstone);
  key[0] = 'r'.charCodeAt(0);
  return key;
}

/** The smallest key after every key of a kind. */
function kindEnd(kind: string): Buffer {
  return Buffer.of(kind.charCodeAt(0) + 1);
}

export function kindRange(
  kind: 'c' | 'd' | 'e' | 'f' | 'g' | 'h' | 'l' | 'n' | 'p' | 'r' | 's' | 't',
): KVRange {
  return { gte: Buffer.from(kind), lt: kindEnd(kind) };
}

export function tableRange(kind: 'r' | 'd' | 'h', tableId: number): KVRange {
  const gte = tableKeyed(kind, tableId, '');
  const lt = tableId === 0xffffffff ? kindEnd(kind) : tableKeyed(kind, tableId + 1, '');
  return { gte, lt };
}

/** The range of the log after a position, up to and including another. */
export function logRange(after: HlcText, upTo?: HlcText): KVRange {
  return { gt: logKey(after), lt: upTo === undefined ? kindEnd('l') : afterKey('l', upTo) };
}

/** The range of the list of records with DDL, after a position, up to and including another. */
export function ddlRange(after: HlcText, upTo: HlcText): KVRange {
  return { gt: ddlKey(after), lt: afterKey('e', upTo) };
}

/** The smallest key after that of a position. */
function afterKey(kind: 'l' | 'e', position: HlcText): Buffer {
  const key = hlcKey(kind, position, 2 + HLC_BYTES);
  key[1 + HLC_BYTES] = 0;
  return key;
}

/** The position in a key of the log, or of its DDL. */
export function logKeyToPosition(key: Uint8Array): HlcText {
  return Buffer.from(key.buffer, key.byteOffset + 1, key.byteLength - 1).toString('base64');
}
