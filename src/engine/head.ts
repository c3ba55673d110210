/**
 * The record that every transaction rewrites: where the log ends. It is read inside
 * each transaction, so that a writer in another process is never overwritten.
 */

import { HLC_MIN, type HlcText } from '../clock/hlc.ts';
import { type SiteId, type SiteIdText, siteIdToText, textToSiteId } from '../clock/site-id.ts';
import type { KVReader, KVStore, KVTransaction } from '../storage/kv-store.ts';
import { refuseUnfinished, UNFINISHED_KEY } from '../storage/unfinished.ts';
import { HEAD_KEY, HORIZON_KEY, SITE_KEY } from './keys.ts';
import { zeroPosition } from './position-clock.ts';
import { bytesToText } from './row.ts';

export interface Head {
  /** Of the newest transaction. */
  position: HlcText;
  /** Transactions in the log. */
  logLength: number;
  /** Changes and migrations in the log. */
  changesLogged?: number;
  /** About how many of these later ones have replaced: when it is worth shortening the log. */
  changesReplaced?: number;
  /** Counts what changes the catalog beyond statistics: another value, another catalog. */
  catalogVersion: number;
  /** Records up to here may hold names of tables that have been dropped or renamed since. */
  staleUpTo?: HlcText;
}

export const EMPTY_HEAD: Head = {
  position: HLC_MIN,
  logLength: 0,
  changesLogged: 0,
  changesReplaced: 0,
  catalogVersion: 0,
};

/** @param bytes of a database that `loadIdentity` has seen, which has one */
export function decodeHead(bytes: Uint8Array | undefined): Head {
  if (bytes === undefined) throw new Error('the store has no head record');
  return JSON.parse(bytesToText(bytes)) as Head;
}

export function writeHead(head: Head, transaction: KVTransaction): void {
  transaction.put(HEAD_KEY, Buffer.from(JSON.stringify(head)));
}

export interface Identity {
  siteId: SiteId;
  siteIdText: SiteIdText;
}

/**
 * The database's coordinator site id; a new database gets one, and an empty log.
 * @throws SyncError STORE_UNAVAILABLE, of one that is still being brought in
 */
export async function loadIdentity(store: KVStore, newSiteId: () => SiteId): Promise<Identity> {
  const toIdentity = (siteId: SiteId) => ({ siteId, siteIdText: siteIdToText(siteId) });
  const [known, mark] = await store.getMany([SITE_KEY, UNFINISHED_KEY]);
  refuseUnfinished(mark);
  if (known !== undefined) return toIdentity(textToSiteId(bytesToText(known)));
  return store.exclusive(async (transaction) => {
    // Another process may have been first.
    const [meanwhile, markMeanwhile] = await transaction.getMany([SITE_KEY, UNFINISHED_KEY]);
    refuseUnfinished(markMeanwhile);
    if (meanwhile !== undefined) return toIdentity(textToSiteId(bytesToText(meanwhile)));
    const siteId = newSiteId();
    transaction.put(SITE_KEY, Buffer.from(siteIdToText(siteId)));
    writeHead({ ...EMPTY_HEAD, position: zeroPosition(siteId) }, transaction);
    return toIdentity(siteId);
  });
}

export async function readHead(reader: KVReader): Promise<Head> {
  const [bytes] = await reader.getMany([HEAD_KEY]);
  return decodeHead(bytes);
}

/** The position up to which tombstones are gone; before every position while none is. */
export async function readHorizon(reader: KVReader): Promise<HlcText> {
  const [bytes] = await reader.getMany([HORIZON_KEY]);
  return bytes === undefined ? HLC_MIN : bytesToText(bytes);
}
