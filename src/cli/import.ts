/** `sync-coordinator import`: a database out of a file of `export`. */

import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { ResolvedConfig } from '../config/resolve-config.ts';
import { findStorage } from '../storage/by-address/open-storage.ts';
import { assertDatabaseId } from '../storage/database-id.ts';
import type { KVStore, Storage } from '../storage/kv-store.ts';
import { PASSES, type TransferTally } from '../transfer/content.ts';
import {
  type CheckedExport,
  checkExport,
  contentOfExport,
} from '../transfer/export/import-content.ts';
import { planImport } from '../transfer/export/plan-import.ts';
import { fillStore, OccupiedError } from '../transfer/fill-store.ts';
import { namedStorage, storageOptions } from './databases.ts';
import { readUnpacked, STREAM, withStdinAsFile } from './export-file.ts';
import { keepFilesPrivate } from './private-files.ts';
import { withProgress } from './progress.ts';
import { endWith, type TransferOutcome, tryFile, tryOne } from './transfer-outcome.ts';

export interface ImportOptions {
  /** The configured storage, unless given. */
  to?: string;
  /** Another name than the file says. */
  as?: string;
  /** Takes the place of a database that is there. */
  replace?: boolean;
}

/** @param file its name, or `-` for stdin */
export async function importDatabase(
  resolved: ResolvedConfig,
  file: string,
  options: ImportOptions,
): Promise<void> {
  keepFilesPrivate();
  await endWith(() =>
    file === STREAM
      ? withStdinAsFile((copy) => importFile(resolved, copy, 'stdin', options))
      : importFile(resolved, file, file, options),
  );
}

async function importFile(
  { config, sources }: ResolvedConfig,
  file: string,
  name: string,
  { to = config.storage.url, as, replace = false }: ImportOptions,
): Promise<TransferOutcome> {
  const cwd = process.cwd();
  const toSource = to === config.storage.url ? sources.get('storage.url') : '--to';
  if (as !== undefined) assertDatabaseId(as);
  const openTarget = await findStorage(namedStorage(config, to), cwd, toSource);
  const { size } = await stat(file);
  const tally = { done: 0, total: PASSES * size };
  const open = () => readUnpacked(file, () => undefined);
  const openCounted = () =>
    readUnpacked(file, (bytes) => {
      tally.done += bytes;
    });
  return tryFile(name, async () => {
    const checked = await withProgress(name, tally, () => checkExport(openCounted));
    const id = as ?? checked.header.database;
    assertDatabaseId(id);
    const target = await openTarget(storageOptions(config, cwd));
    try {
      return await tryOne(id, () =>
        withProgress(id, tally, () => importOne(target, id, { checked, open, tally, replace })),
      );
    } finally {
      await target.close();
    }
  });
}

interface Import {
  checked: CheckedExport;
  open: () => AsyncIterable<Uint8Array>;
  tally: TransferTally;
  replace: boolean;
}

/** @returns what was done */
async function importOne(target: Storage, id: string, work: Import): Promise<string> {
  const store = await target.open(id);
  try {
    return await bringIn(store, work);
  } catch (error) {
    if (!(error instanceof OccupiedError) || work.replace) throw error;
    throw new Error(
      `${error.message}. Nothing was changed: give it another name by --as, or give --replace`,
    );
  } finally {
    await store.close();
  }
}

async function bringIn(store: KVStore, { checked, open, tally, replace }: Import): Promise<string> {
  const world = { now: Date.now, randomBytes };
  const plan = await planImport(store, checked, world, { replace });
  const content = await contentOfExport(open, checked, plan.replacedAt);
  const { entries } = content.digest;
  Object.assign(tally, { done: entries, total: PASSES * entries });
  const { entriesBefore, wasComplete } = await fillStore(content, store, tally, plan);
  const { rows, transactions } = checked.end;
  const counts = `${rows.toLocaleString('en')} rows, ${transactions.toLocaleString('en')} transactions`;
  if (wasComplete) return `${counts}: there already, the same`;
  await store.reclaimSpace?.();
  const before = entriesBefore.toLocaleString('en');
  const continued = entriesBefore > 0 ? ` (went on behind ${before} entries)` : '';
  const as =
    plan.replacedAt === undefined
      ? ''
      : `, in place of what was there, under the new coordinator site id ${content.siteId}`;
  return `${counts}: imported${continued} and compared${as}`;
}
