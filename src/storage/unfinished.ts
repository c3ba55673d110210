/**
 * The mark of a database that is still being brought in by `copy`: what is there of it
 * is not to be served. It is written before the first entry and taken away after the last check.
 *
 *     key    00 "unfinished"
 *     value  {"siteId": "…", "sha256": "…"}   (JSON, UTF-8): what is being brought in
 */

import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { SyncError } from '../errors.ts';

export const UNFINISHED_KEY: Uint8Array = Buffer.from('\0unfinished');

export interface Unfinished {
  /** The coordinator's site id in what is brought in; empty where it has none yet. */
  siteId: string;
  /** Of all its entries; empty while older ones are being cleared away. */
  sha256: string;
}

const UnfinishedSchema = Type.Object({ siteId: Type.String(), sha256: Type.String() });

export function encodeUnfinished({ siteId, sha256 }: Unfinished): Uint8Array {
  return Buffer.from(JSON.stringify({ siteId, sha256 }));
}

/** One that can't be read is nobody's. */
export function decodeUnfinished(bytes: Uint8Array): Unfinished | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return Check(UnfinishedSchema, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** @throws SyncError STORE_UNAVAILABLE, if there is a mark */
export function refuseUnfinished(mark: Uint8Array | undefined): void {
  if (mark === undefined) return;
  throw new SyncError(
    'STORE_UNAVAILABLE',
    'this database is not complete: a copy to it was interrupted, or is running. Run the same ' +
      '`sync-coordinator copy` again to finish it',
  );
}
