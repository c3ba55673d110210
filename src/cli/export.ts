/** `sync-coordinator export`: one database to a file, which `import` brings in anywhere. */

import type { ResolvedConfig } from '../config/resolve-config.ts';
import { findStorage } from '../storage/by-address/open-storage.ts';
import type { KVReader, Storage } from '../storage/kv-store.ts';
import type { TransferTally } from '../transfer/content.ts';
import type { ExportEnd } from '../transfer/export/format.ts';
import { exportLines } from '../transfer/export/write-export.ts';
import { databasesOf, namedStorage, storageOptions } from './databases.ts';
import { gzipToStdout, refuseTaken, STREAM, writeGzip } from './export-file.ts';
import { keepFilesPrivate } from './private-files.ts';
import { withProgress } from './progress.ts';
import { endWith, tryOne } from './transfer-outcome.ts';

export interface ExportOptions {
  /** The configured storage, unless given. */
  from?: string;
  /** A file, or `-` for stdout. */
  output?: string;
  /** Overwrites. */
  force?: boolean;
}

export async function exportDatabase(
  { config, sources }: ResolvedConfig,
  id: string,
  { from = config.storage.url, output = defaultFileName(id), force = false }: ExportOptions,
): Promise<void> {
  const cwd = process.cwd();
  const fromSource = from === config.storage.url ? sources.get('storage.url') : '--from';
  keepFilesPrivate();
  await endWith(async () => {
    const openSource = await findStorage(namedStorage(config, from), cwd, fromSource);
    await refuseOutput(output, force);
    const source = await openSource({ ...storageOptions(config, cwd), existing: true });
    try {
      await databasesOf(source, id);
      const report = output === STREAM ? process.stderr : process.stdout;
      return await tryOne(id, () => exportOne(source, id, output), report);
    } finally {
      await source.close();
    }
  });
}

/** Colons stand in ids, and not in the names of files everywhere. */
function defaultFileName(id: string): string {
  return `${id.replaceAll(':', '_')}.ndjson.gz`;
}

async function refuseOutput(output: string, force: boolean): Promise<void> {
  if (output !== STREAM) return refuseTaken(output, force);
  if (!process.stdout.isTTY) return;
  throw new Error('an export is nothing for a terminal: redirect it, or name a file by --output');
}

/** @returns what was done */
async function exportOne(source: Storage, id: string, output: string): Promise<string> {
  const store = await source.open(id);
  try {
    const view = await store.view();
    try {
      const tally = { done: 0, total: 0 };
      const { rows, transactions, sha256 } = await withProgress(id, tally, () =>
        write(view, id, output, tally),
      );
      const counts = `${rows.toLocaleString('en')} rows, ${transactions.toLocaleString('en')} transactions`;
      const where = output === STREAM ? 'stdout' : output;
      return `${counts}, sha256 ${sha256}: exported to ${where}`;
    } finally {
      await view.close();
    }
  } finally {
    await store.close();
  }
}

async function write(
  view: KVReader,
  databaseId: string,
  output: string,
  tally: TransferTally,
): Promise<ExportEnd> {
  let end: ExportEnd | undefined;
  async function* chunks() {
    end = yield* exportLines(view, { databaseId, exportedAt: new Date(), tally });
  }
  await (output === STREAM ? gzipToStdout(chunks()) : writeGzip(output, chunks()));
  if (end === undefined) throw new TypeError('an export ended without its last line');
  return end;
}
