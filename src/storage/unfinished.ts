/**
 * The mark of a database that is still being brought in by `copy` or `import`: what is there of it
 * is not to be served. It is written before the first entry and taken away after the last check.
 *
 *     key    00 "unfinished"
 *     value  {"siteId": "…", "sha256": "…"}   (JSON, UTF-8): what is being brought in
 *            with "file" and perhaps "replacedAt" of an import
 */

import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { HLC_PATTERN, type HlcText } from '../clock/hlc.ts';
import { SyncError } from '../errors/sync-error.ts';

export const UNFINISHED_KEY: Uint8Array = Buffer.from('\0unfinished');

export interface Unfinished {
  /** The coordinator's site id in what is brought in; empty where it has none yet. */
  siteId: string;
  /** Of all its entries; empty while older ones are being cleared away. */
  sha256: string;
  /** What is imported: the checksum in its last line. */
  file?: string;
  /** The position at which what is imported takes the place of what was there, if anything was. */
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
  const [what, command] =
    decodeUnfinished(mark)?.file === undefined ? ['a copy', 'copy'] : ['an import', 'import'];
  throw new SyncError(
    'STORE_UNAVAILABLE',
    `this database is not complete: ${what} to it was interrupted, or is running. Run the same ` +
      `\`sync-coordinator ${command}\` again to finish it`,
  );
}
