/**
 * The record that every transaction rewrites: where the log ends. It is read inside
 * each transaction, so that a writer in another process is never overwritten.
 */

import { HLC_MIN, type HlcText } from '../../clock/hlc.ts';
import {
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
  /** Of the newest transaction. */
  position: HlcText;
  /** Transactions in the log. */
  logLength: number;
  /** Changes and migrations in the log. */
  changesLogged: number;
  /** About how many of these later ones have replaced: when it is worth shortening the log. */
  changesReplaced: number;
  /** Counts what changes the catalog: another value, another catalog. */
  catalogVersion: number;
  /**
   * The number that the next table gets. It is read and written by every transaction that makes one,
   * under the writer's lock: nodes can't give one number twice, whatever they have in memory.
   */
  nextTable: number;
  /** Of the newest drop or rename that took effect. */
  endedAt: HlcText;
  /** How often a deletion, drop or rename has left the log without anything later in its place. */
  forgets: number;
  /** What is kept of what sites hold that was refused takes about so much; absent for nothing. */
  heldBytes?: number;
  /** No site may hold anything newer of a row of which that is not kept; absent where all is kept. */
  heldFloor?: HlcText;
  /** How often a site was to start over for what it holds: others in this cluster may be serving it. */
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
 * The database that was opened is not the one in the store any more: an import has put another in
 * its place, or is doing so. What is known of it must be read anew.
 */
export class ReplacedError extends SyncError {
  constructor() {
    super('STORE_UNAVAILABLE', 'this database has been replaced by an import: come back', {
      retryAfterMs: REPLACED_RETRY_MS,
    });
  }
}

/**
 * Every reading of the head is a fence: an import takes it away before anything else, and puts
 * one there whose position is of another coordinator site id.
 * @param bytes of a database that `loadIdentity` has seen, which has one
 * @param site the coordinator's, as it was when the database was opened
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
  /** An HLC of its site. */
  sample: HlcText;
  /** The position at which an import gave it other content and this site id, if one ever did. */
  replacedAt: HlcText | undefined;
}

/**
 * The database's coordinator site id; a new database gets one, and an empty log. For that alone a
 * database that is not there is not made: it gets them with its first write.
 * @throws SyncError STORE_UNAVAILABLE, of one that is still being brought in
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
    return { siteId, siteIdText, sample: zeroPosition(siteId), replacedAt: undefined };
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
  return { siteId, siteIdText, sample: zeroPosition(siteId), replacedAt };
}

/** @throws ReplacedError */
export async function readHead(reader: KVReader, site: SiteIdText): Promise<Head> {
  const [bytes] = await reader.getMany([HEAD_KEY]);
  return decodeHead(bytes, site);
}

/** The position up to which tombstones are gone; before every position while none is. */
export async function readHorizon(reader: KVReader): Promise<HlcText> {
  const [bytes] = await reader.getMany([HORIZON_KEY]);
  return bytes === undefined ? HLC_MIN : bytesToText(bytes);
}

/** The position up to which deletions are gone, and how often the log has forgotten any, as of now. */
export async function readForgotten(
  reader: KVReader,
  site: SiteIdText,
): Promise<{ forgets: number; horizon: HlcText }> {
  const [head, horizon] = await reader.getMany([HEAD_KEY, HORIZON_KEY]);
  const { forgets } = decodeHead(head, site);
  return { forgets, horizon: horizon === undefined ? HLC_MIN : bytesToText(horizon) };
}
