/**
 * The head: the record that says where the log ends. Each transaction reads it and, if anything in
 * it changes, rewrites it, so that no process overwrites what another has written.
 */

import { HLC_MIN, type HlcText } from '../../clock/hlc.ts';
import {
  HlcsOfSite,
  hlcSite,
  type SiteId,
  type SiteIdText,
  siteIdToText,
  textToSiteId,
} from '../../clock/site-id.ts';
import { SyncError } from '../../errors/sync-error.ts';
import type { KVReader, KVStore, KVTransaction } from '../../storage/kv-store.ts';
import { refuseUnfinished, UNFINISHED_KEY } from '../../storage/unfinished.ts';
import { HEAD_KEY, HORIZON_KEY, REPLACED_KEY, SITE_KEY } from './keys.ts';
import { zeroPosition } from './position-clock.ts';
import { bytesToText } from './row.ts';

const REPLACED_RETRY_MS = 1000;

export interface Head {
  /** The position of the newest transaction. */
  position: HlcText;
  /** Transactions in the log. */
  logLength: number;
  /** Changes and migrations in the log. */
  changesLogged: number;
  /** About how many of these later ones have replaced: decides when the log is compacted. */
  changesReplaced: number;
  /** Counts the changes of the catalog. */
  catalogVersion: number;
  /**
   * The number of the next table. A transaction that makes a table reads and writes it under the
   * writer's lock, so two processes never give the same number.
   */
  nextTable: number;
  /** The position of the newest drop or rename that took effect. */
  endedAt: HlcText;
  /**
   * How often deletions, drops or renames have left the log with no later change in their place.
   */
  forgets: number;
  /**
   * Bytes of the longest row that was ever written; absent if none is longer than
   * `SHORT_ROW_BYTES`. Bounds how many rows are read at once.
   */
  longestRow?: number;
  /** The approximate size of all records of held rows; absent if there are none. */
  heldBytes?: number;
  /** The greatest floor of any site (see `held-floors.ts`); absent if there is none. */
  heldFloor?: HlcText;
  /** How many floors are listed; absent for 0. */
  listedFloors?: number;
  /** The greatest floor that ever was unlisted; absent if none was. */
  unlistedFloor?: HlcText;
  /** How many changes took effect that sites with unlisted floors may not take. */
  lates?: number;
  /**
   * How often a site was made to start over. If it grows, another process may be serving that site.
   */
  idled?: number;
}

export const EMPTY_HEAD: Head = Object.freeze({
  position: HLC_MIN,
  logLength: 0,
  changesLogged: 0,
  changesReplaced: 0,
  catalogVersion: 0,
  nextTable: 1,
  endedAt: HLC_MIN,
  forgets: 0,
});

/**
 * The store does not hold the opened database any more: an import has replaced it, or is doing so.
 * The database must be opened again.
 */
export class ReplacedError extends SyncError {
  constructor() {
    super('STORE_UNAVAILABLE', 'this database has been replaced by an import: come back', {
      retryAfterMs: REPLACED_RETRY_MS,
    });
  }
}

/**
 * Decodes the head, and checks that the database was not replaced: an import first removes the
 * head, and then writes one whose position is of another coordinator site id.
 * @param bytes the head of a database that `loadIdentity` has read, so it had one
 * @param site the coordinator's site id when the database was opened
 * @throws ReplacedError
 */
export function decodeHead(bytes: Uint8Array | undefined, site: SiteIdText): Head {
  if (bytes === undefined) throw new ReplacedError();
  const head = JSON.parse(bytesToText(bytes)) as Head;
  if (hlcSite(head.position) !== site) throw new ReplacedError();
  return head;
}

export function writeHead(head: Head, transaction: KVTransaction): void {
  transaction.put(HEAD_KEY, Buffer.from(JSON.stringify(head)));
}

export interface Identity {
  siteId: SiteId;
  siteIdText: SiteIdText;
  /** Those that it has issued. */
  hlcs: HlcsOfSite;
  /**
   * The position at which an import replaced the database and its site id; `undefined` if none ever
   * did.
   */
  replacedAt: HlcText | undefined;
}

/**
 * Reads the coordinator's site id of a database. A new database gets one, and an empty log. This
 * alone does not create a database that does not exist: they are written with its first write.
 * @throws SyncError STORE_UNAVAILABLE if the database is still being imported
 */
export async function loadIdentity(store: KVStore, newSiteId: () => SiteId): Promise<Identity> {
  const known = await readIdentity(store);
  if (known !== undefined) return known;
  const found = async (transaction: KVTransaction): Promise<Identity> => {
    // Another process may have been first.
    const meanwhile = await readIdentity(transaction);
    if (meanwhile !== undefined) return meanwhile;
    const siteId = newSiteId();
    const siteIdText = siteIdToText(siteId);
    transaction.put(SITE_KEY, Buffer.from(siteIdText));
    writeHead({ ...EMPTY_HEAD, position: zeroPosition(siteId) }, transaction);
    return { siteId, siteIdText, hlcs: new HlcsOfSite(siteId), replacedAt: undefined };
  };
  return store.exclusive(found, { whereAbsent: 'keep' });
}

async function readIdentity(reader: KVReader): Promise<Identity | undefined> {
  const keys = [SITE_KEY, REPLACED_KEY, UNFINISHED_KEY];
  const [site, replaced, mark] = await reader.getMany(keys);
  refuseUnfinished(mark);
  if (site === undefined) return undefined;
  const siteIdText = bytesToText(site);
  const replacedAt = replaced && bytesToText(replaced);
  const siteId = textToSiteId(siteIdText);
  return { siteId, siteIdText, hlcs: new HlcsOfSite(siteId), replacedAt };
}

/** @throws ReplacedError */
export async function readHead(reader: KVReader, site: SiteIdText): Promise<Head> {
  const [bytes] = await reader.getMany([HEAD_KEY]);
  return decodeHead(bytes, site);
}

/** The horizon: the position up to which tombstones are gone. `HLC_MIN` while all are there. */
export async function readHorizon(reader: KVReader): Promise<HlcText> {
  const [bytes] = await reader.getMany([HORIZON_KEY]);
  return bytes === undefined ? HLC_MIN : bytesToText(bytes);
}

/** The horizon, and how often the log has forgotten deletions, as of now. */
export async function readForgotten(
  reader: KVReader,
  site: SiteIdText,
): Promise<{ forgets: number; horizon: HlcText }> {
  const [head, horizon] = await reader.getMany([HEAD_KEY, HORIZON_KEY]);
  const { forgets } = decodeHead(head, site);
  return { forgets, horizon: horizon === undefined ? HLC_MIN : bytesToText(horizon) };
}
