/**
 * An export as the content for a store. The file is read several times: once to check all of it
 * before the store is changed, then each time that entries are needed.
 */

import type { HlcText } from '../../clock/hlc.ts';
import { hlcSite } from '../../clock/site-id.ts';
import type { KVEntry } from '../../storage/kv-store.ts';
import { type Content, type Digest, Digester } from '../content.ts';
import { damaged, type ExportEnd, type ExportHeader } from './format.ts';
import { lineToEntry } from './lines.ts';
import { underNewSite } from './new-site.ts';
import { readExport } from './read-export.ts';

/** Opens the file at its beginning, uncompressed. */
export type OpenExport = () => AsyncIterable<Uint8Array>;

/** An export that was read to its end, and is valid. */
export interface CheckedExport {
  header: ExportHeader;
  end: ExportEnd;
  /** The digest of its entries. */
  digest: Digest;
}

/** The entries of one array. */
const ENTRIES_AT_ONCE = 500;

/** @throws ExportFileError */
export async function checkExport(open: OpenExport): Promise<CheckedExport> {
  const digester = new Digester();
  const parts = readExport(open());
  let header: ExportHeader | undefined;
  for (;;) {
    const { done, value } = await parts.next();
    if (done) {
      if (header === undefined) throw new TypeError('an export without a header was let through');
      return { header, end: value, digest: digester.end() };
    }
    if ('header' in value) header = value.header;
    else digester.add([value.entry]);
  }
}

/**
 * @param replacedAt the position at which it replaces another database, if it does: the site id of
 *   this position becomes the coordinator's
 * @throws ExportFileError, also later, if the file has changed by then
 */
export async function contentOfExport(
  open: OpenExport,
  { header, end, digest }: CheckedExport,
  replacedAt: HlcText | undefined,
): Promise<Content> {
  const entries = () => entriesOf(open, end.sha256, replacedAt);
  return {
    siteId: replacedAt === undefined ? header.siteId : hlcSite(replacedAt),
    digest: replacedAt === undefined ? digest : await digestEntries(entries()),
    origin: { file: end.sha256, ...(replacedAt === undefined ? {} : { replacedAt }) },
    entriesAfter: (key) => inArrays(after(key, entries())),
  };
}

async function* entriesOf(
  open: OpenExport,
  sha256: string,
  replacedAt: HlcText | undefined,
): AsyncGenerator<KVEntry, void> {
  const parts = readExport(open());
  for (;;) {
    const { done, value } = await parts.next();
    if (done) {
      if (value.sha256 !== sha256) throw damaged('it has changed while it was being imported');
      return;
    }
    if ('header' in value) continue;
    if (replacedAt === undefined) yield value.entry;
    else for (const line of underNewSite(value.line, replacedAt)) yield lineToEntry(line);
  }
}

async function digestEntries(entries: AsyncIterable<KVEntry>): Promise<Digest> {
  const digester = new Digester();
  for await (const entry of entries) digester.add([entry]);
  return digester.end();
}

async function* after(
  key: Uint8Array | undefined,
  entries: AsyncIterable<KVEntry>,
): AsyncGenerator<KVEntry> {
  for await (const entry of entries) {
    if (key === undefined || Buffer.compare(entry[0], key) > 0) yield entry;
  }
}

async function* inArrays(entries: AsyncIterable<KVEntry>): AsyncGenerator<readonly KVEntry[]> {
  let some: KVEntry[] = [];
  for await (const entry of entries) {
    some.push(entry);
    if (some.length < ENTRIES_AT_ONCE) continue;
    yield some;
    some = [];
  }
  if (some.length > 0) yield some;
}
