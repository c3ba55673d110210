import { FORMAT_KEY } from '../../src/storage/format.ts';
import type { Storage } from '../../src/storage/kv-store.ts';

/** Makes a database, which is closed and in order, say something else of itself. */
export async function tamperFormat(
  storage: Storage,
  databaseId: string,
  record: unknown,
): Promise<void> {
  const store = await storage.open(databaseId);
  await store.exclusive(async (transaction) => {
    transaction.put(FORMAT_KEY, Buffer.from(JSON.stringify(record)));
  });
  await store.close();
}
