/** `sync-coordinator verify`: whether stores are what they should be. Reads them, and changes nothing. */

import type { ResolvedConfig } from '../config/resolve-config.ts';
import { toPrintable } from '../errors/printable.ts';
import { SyncError } from '../errors/sync-error.ts';
import { findStorage } from '../storage/by-address/open-storage.ts';
import type { Storage } from '../storage/kv-store.ts';
import { refuseUnfinished, UNFINISHED_KEY } from '../storage/unfinished.ts';
import { createTally } from '../verify/findings.ts';
import { verifyDatabase } from '../verify/verify.ts';
import { databasesOf, storageOptions } from './databases.ts';
import { failureToText } from './failure.ts';
import { withProgress } from './progress.ts';

/** Of one database; the others are counted. */
const FINDINGS_SHOWN_MAX = 100;

/** What the process ends with. */
export const VERIFY_EXIT = { sound: 0, found: 1, unchecked: 2 } as const;
type Outcome = (typeof VERIFY_EXIT)[keyof typeof VERIFY_EXIT];

/** @param name one database, or all that are there */
export async function verify(
  { config, sources }: ResolvedConfig,
  name: string | undefined,
): Promise<void> {
  process.exitCode = await verifyAll(config, sources.get('storage.url'), name).catch(
    (error: unknown) => {
      process.stderr.write(`${failureToText(error)}\n`);
      return VERIFY_EXIT.unchecked;
    },
  );
}

async function verifyAll(
  config: ResolvedConfig['config'],
  source: string | undefined,
  name: string | undefined,
): Promise<Outcome> {
  const cwd = process.cwd();
  const open = await findStorage(config.storage, cwd, source);
  const storage = await open({ ...storageOptions(config, cwd), existing: true });
  try {
    let worst: Outcome = VERIFY_EXIT.sound;
    for (const id of await databasesOf(storage, name)) {
      const outcome = await verifyOne(storage, id);
      if (outcome > worst) worst = outcome;
    }
    return worst;
  } finally {
    await storage.close();
  }
}

async function verifyOne(storage: Storage, id: string): Promise<Outcome> {
  try {
    const store = await storage.open(id);
    try {
      const view = await store.view();
      try {
        refuseUnfinished((await view.getMany([UNFINISHED_KEY]))[0]);
        const tally = createTally();
        const found = await withProgress(id, tally, () =>
          report(id, verifyDatabase(view, { tally })),
        );
        const { rows, cells, logRecords, changes } = tally;
        const counts = [
          [rows, 'rows'],
          [cells, 'cells'],
          [logRecords, 'log records'],
          [changes, 'changes'],
        ].map(([count, unit]) => `${count?.toLocaleString('en')} ${unit}`);
        const verdict = found === 0 ? 'ok' : `${found.toLocaleString('en')} findings`;
        process.stdout.write(`database ${id}: ${counts.join(', ')}, ${verdict}\n`);
        return found === 0 ? VERIFY_EXIT.sound : VERIFY_EXIT.found;
      } finally {
        await view.close();
      }
    } finally {
      await store.close();
    }
  } catch (error) {
    if (!(error instanceof SyncError)) throw error;
    const cause = error.cause instanceof Error ? `: ${error.cause.message}` : '';
    process.stdout.write(`database ${id}: ${error.code}: ${error.message}${cause}\n`);
    return error.code === 'STORE_DAMAGED' ? VERIFY_EXIT.found : VERIFY_EXIT.unchecked;
  }
}

/** Prints what is found. @returns how much that is */
async function report(id: string, findings: ReturnType<typeof verifyDatabase>): Promise<number> {
  let count = 0;
  for await (const { code, where, what } of findings) {
    count++;
    if (count > FINDINGS_SHOWN_MAX) continue;
    // Names and keys of devices stand in it.
    process.stdout.write(`${toPrintable(`database ${id}: ${code}: ${where}: ${what}`)}\n`);
  }
  const more = count - FINDINGS_SHOWN_MAX;
  if (more > 0) process.stdout.write(`database ${id}: and ${more.toLocaleString('en')} more\n`);
  return count;
}
