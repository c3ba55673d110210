/**
 * The mark of a database that `copy` or `import` has not completed: it must not be served. The mark
 * is written before the first entry and removed after the last check.
 *
 *     key    00 "unfinished"
 *     value  {"siteId": "…", "sha256": "…"}   (JSON, UTF-8), of the content to be written
 *            an import adds "file", and "replacedAt" if it replaces a database
 */

import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { HLC_PATTERN, type HlcText } from '../clock/hlc.ts';
import { SyncError } from '../errors/sync-error.ts';

export const UNFINISHED_KEY: Uint8Array = Buffer.from('\0unfinished');

export interface Unfinished {
  /** The coordinator's site id of the content; empty if it has none yet. */
  siteId: string;
  /** Of all its entries; empty while entries of the replaced database are being deleted. */
  sha256: string;
  /** The checksum in the last line of the imported file. */
  file?: string;
  /** The position at which the import replaces an earlier database, if there was one. */
  replacedAt?: HlcText;
}

const UnfinishedSchema = Type.Object({
  siteId: Type.String(),
  sha256: Type.String(),
  file: Type.Optional(Type.String()),
  replacedAt: Type.Optional(Type.String({ pattern: HLC_PATTERN })),
});

export function encodeUnfinished({ siteId, sha256, file, replacedAt }: Unfinished): Uint8Array {
  return Buffer.from(JSON.stringify({ siteId, sha256, file, replacedAt }));
}

/** `undefined` for a mark that can't be read. */
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
  const [what, command] =
    decodeUnfinished(mark)?.file === undefined ? ['a copy', 'copy'] : ['an import', 'import'];
  throw new SyncError(
    'STORE_UNAVAILABLE',
    `this database is not complete: ${what} to it was interrupted, or is running. Run the same ` +
      `\`sync-coordinator ${command}\` again to finish it`,
  );
}
