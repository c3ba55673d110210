/** `sync-coordinator copy`: databases from one storage to another, while no server has them. */

import type { ResolvedConfig } from '../config/resolve-config.ts';
import { findStorage } from '../storage/by-address/open-storage.ts';
import type { Storage } from '../storage/kv-store.ts';
import { contentOf } from '../transfer/content.ts';
import { fillStore } from '../transfer/fill-store.ts';
import { databasesOf, namedStorage, storageOptions } from './databases.ts';
import { keepFilesPrivate } from './private-files.ts';
import { withProgress } from './progress.ts';
import { endWith, TRANSFER_EXIT, type TransferOutcome, tryOne } from './transfer-outcome.ts';

export interface CopyOptions {
  /** The configured storage, unless given. */
  from?: string;
  to: string;
}

/** @param name one database, or all that are there */
export async function copy(
  { config, sources }: ResolvedConfig,
  name: string | undefined,
  { from = config.storage.url, to }: CopyOptions,
): Promise<void> {
  const cwd = process.cwd();
  const options = storageOptions(config, cwd);
  const fromSource = from === config.storage.url ? sources.get('storage.url') : '--from';
  keepFilesPrivate();
  await endWith(async () => {
    const openSource = await findStorage(namedStorage(config, from), cwd, fromSource);
    const openTarget = await findStorage({ url: to }, cwd, '--to');
    const source = await openSource({ ...options, existing: true, alone: true });
    try {
      const ids = await databasesOf(source, name);
      const target = await openTarget(options);
      try {
        let worst: TransferOutcome = TRANSFER_EXIT.done;
        for (const id of ids) {
          const outcome = await tryOne(id, () => copyOne(source, target, id));
          if (outcome > worst) worst = outcome;
        }
        return worst;
      } finally {
        await target.close();
      }
    } finally {
      await source.close();
    }
  });
}

/** @returns what was done */
async function copyOne(source: Storage, target: Storage, id: string): Promise<string> {
  const from = await source.open(id);
  try {
    const view = await from.view();
    try {
      const tally = { done: 0, total: 0 };
      return await withProgress(id, tally, async () => {
        const content = await contentOf(view, tally);
        const to = await target.open(id);
        try {
          const { entriesBefore, wasComplete } = await fillStore(content, to, tally);
          const { entries, sha256 } = content.digest;
          const count = `${entries.toLocaleString('en')} entries, sha256 ${sha256}`;
          if (wasComplete) return `${count}: there already, the same`;
          const before = entriesBefore.toLocaleString('en');
          const continued = entriesBefore > 0 ? ` (went on behind ${before} of them)` : '';
          return `${count}: copied${continued} and compared`;
        } finally {
          await to.close();
        }
      });
    } finally {
      await view.close();
    }
  } finally {
    await from.close();
  }
}
