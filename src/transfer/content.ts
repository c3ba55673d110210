/** All that the engine has in a store, as what is copied and compared. */

import { createHash } from 'node:crypto';
import { SITE_KEY } from '../engine/records/keys.ts';
import { bytesToText } from '../engine/records/row.ts';
import type { KVEntry, KVRange, KVReader } from '../storage/kv-store.ts';
import { refuseUnfinished, UNFINISHED_KEY, type Unfinished } from '../storage/unfinished.ts';

/** Everything but the storage layer's own, which begins with the byte 0. */
export const CONTENT_RANGE: KVRange = { gte: Uint8Array.of(1), lt: Uint8Array.of(0xff) };

export interface Digest {
  entries: number;
  /** In hex: of each entry the lengths of key and value (4 bytes, big-endian), then both. */
  sha256: string;
}

/** What a database consists of, wherever it is read from. */
export interface Content {
  /** The coordinator's; empty where it has none yet. */
  siteId: string;
  digest: Digest;
  /** Of what comes out of a file. */
  origin?: Pick<Unfinished, 'file' | 'replacedAt'>;
  /** In the order of their keys. */
  entriesAfter(key: Uint8Array | undefined): AsyncIterable<readonly KVEntry[]>;
}

/** How far the work is, in entries. */
export interface TransferTally {
  done: number;
  /** 0 while it is not known. */
  total: number;
}

/** An entry counts thrice: read, written, compared. */
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

  /** Once, at the end. */
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
 * What a store holds, read once for its digest.
 * @param view nobody may write to it meanwhile
 * @throws SyncError STORE_UNAVAILABLE, of one that is itself not complete
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
