/** Databases in a temporary directory, to be moved. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SyncManager } from '../../src/engine/sync-manager.ts';
import { createLevelStorage } from '../../src/storage/leveldb/leveldb.ts';
import { Device } from '../../src/testing/device.ts';
import { openEngine } from '../support/engine.ts';
import { createTestWorld } from '../support/world.ts';

export const ROWS = 9000;

/** Makes `id` in `directory` with `rows` rows. @returns its newest position */
export async function makeDatabase(directory: string, id: string, rows = ROWS): Promise<string> {
  const device = new Device(1);
  return withDatabase(directory, id, async (manager) => {
    const writes = Array.from({ length: rows }, (_, pk) => ({ pk: [pk], set: { a: `row ${pk}` } }));
    await manager.apply([device.write(...writes)]);
    return manager.position;
  });
}

/** Opens a database as a coordinator does, in a world that is a second older each time. */
export async function withDatabase<T>(
  directory: string,
  id: string,
  work: (manager: SyncManager) => Promise<T>,
): Promise<T> {
  const storage = await createLevelStorage({ directory, durability: 'os' });
  try {
    const world = createTestWorld(1_800_000_000_000 + 1000 * opened++);
    const { manager } = await openEngine({ store: await storage.open(id), world });
    const result = await work(manager);
    await manager.close();
    return result;
  } finally {
    await storage.close();
  }
}
let opened = 0;

/**
 * A storage module over a LevelDB directory, which kills its process with SIGKILL after
 * so many commits. The first ones are the record of the format and the mark.
 */
export function makeDeadlyStorage(cwd: string, commits: number, directory = 'target'): string {
  const file = join(cwd, 'deadly-storage.mjs');
  const level = new URL('../../src/storage/leveldb/leveldb.ts', import.meta.url).href;
  writeFileSync(
    file,
    `import { createLevelStorage } from ${JSON.stringify(level)};
export default async ({ durability, cwd, existing }) => {
  const storage = await createLevelStorage({ directory: cwd + ${JSON.stringify(`/${directory}`)}, durability, existing });
  let left = ${commits};
  return {
    ...storage,
    async open(id) {
      const store = await storage.open(id);
      const exclusive = async (work) => {
        if (left-- === 0) process.kill(process.pid, 'SIGKILL');
        return store.exclusive(work);
      };
      return { ...store, exclusive };
    },
  };
};
`,
  );
  return file;
}
