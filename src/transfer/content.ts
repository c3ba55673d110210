/** The content of a database, as `copy` and `import` write and compare it. */

import { createHash } from 'node:crypto';
import { SITE_KEY } from '../engine/records/keys.ts';
import { bytesToText } from '../engine/records/row.ts';
import type { KVEntry, KVRange, KVReader } from '../storage/kv-store.ts';
import { refuseUnfinished, UNFINISHED_KEY, type Unfinished } from '../storage/unfinished.ts';

/** All keys except the storage layer's own, which begin with the byte 0. */
export const CONTENT_RANGE: KVRange = { gte: Uint8Array.of(1), lt: Uint8Array.of(0xff) };

export interface Digest {
  entries: number;
  /** In hex, over the lengths of key and value (4 bytes, big-endian), and both, of each entry. */
  sha256: string;
}

/** The content of a database, from a store or a file. */
export interface Content {
  /** The coordinator's site id; empty if there is none yet. */
  siteId: string;
  digest: Digest;
  /** Set if it comes from a file. */
  origin?: Pick<Unfinished, 'file' | 'replacedAt'>;
  /** In the order of their keys. */
  entriesAfter(key: Uint8Array | undefined): AsyncIterable<readonly KVEntry[]>;
}

/** The progress of the work, in entries. */
export interface TransferTally {
  done: number;
  /** 0 while it is not known. */
  total: number;
}

/** Each entry counts three times: read, written, compared. */
export const PASSES = 3;

export class Digester {
  readonly #hash = createHash('sha256');
  #entries = 0;

  add(entries: readonly KVEntry[]): void {
    const parts: Uint8Array[] = [];
    for (const [key, value] of entries) {
      const lengths = Buffer.allocUnsafe(8);
      lengths.writeUInt32BE(key.length);
      lengths.writeUInt32BE(value.length, 4);
      parts.push(lengths, key, value);
    }
    this.#hash.update(Buffer.concat(parts));
    this.#entries += entries.length;
  }

  /** To be called once, at the end. */
  end(): Digest {
    return { entries: this.#entries, sha256: this.#hash.digest('hex') };
  }
}

export async function digestOf(reader: KVReader, tally: TransferTally): Promise<Digest> {
  const digester = new Digester();
  for await (const entries of reader.iterate(CONTENT_RANGE)) {
    digester.add(entries);
    tally.done += entries.length;
  }
  return digester.end();
}

/**
 * The content of a store. Reads it once for the digest.
 * @param view must not be written to meanwhile
 * @throws SyncError STORE_UNAVAILABLE if the database is itself incomplete
 */
export async function contentOf(view: KVReader, tally: TransferTally): Promise<Content> {
  const [site, mark] = await view.getMany([SITE_KEY, UNFINISHED_KEY]);
  refuseUnfinished(mark);
  const digest = await digestOf(view, tally);
  tally.total = PASSES * digest.entries;
  return {
    siteId: site === undefined ? '' : bytesToText(site),
    digest,
    entriesAfter: (key) =>
      view.iterate(key === undefined ? CONTENT_RANGE : { gt: key, lt: Uint8Array.of(0xff) }),
  };
}
