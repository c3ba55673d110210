/**
 * Databases that do not exist yet. Each node computes the same coordinator's site id for such a
 * database, so that a device gets the same one from all nodes, and whichever node creates it.
 *
 * After the data was restored to an older state the site id has to differ: a device that knows it
 * would not send again what was lost. So it depends on the timeline, and on the identity of the
 * table.
 */

import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { AbsentDatabase } from '../kv-store.ts';
import { UNFINISHED_KEY } from '../unfinished.ts';
import type { CommitFeed } from './commit-feed.ts';
import type { Place } from './reader.ts';
import { readTimeline } from './timeline.ts';

const SEED_BYTES = 16;
/** Smaller keys are the storage layer's own. */
const FIRST_OF_ENGINE = Buffer.of(1);

/**
 * Whether a database exists, or is being copied or imported: it has entries other than those that
 * opening writes.
 */
export async function isMade(
  client: pg.ClientBase,
  { schema, databaseId }: Place,
): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT 1 FROM ${schema}.entries WHERE database_id = $1 AND (key >= $2 OR key = $3) LIMIT 1`,
    [databaseId, FIRST_OF_ENGINE, UNFINISHED_KEY],
  );
  return rowCount === 1;
}

export async function foreseeDatabase(
  client: pg.ClientBase,
  { schema, databaseId }: Place,
  feed: Pick<CommitFeed, 'watch' | 'unwatch' | 'listen'>,
): Promise<AbsentDatabase> {
  const timeline = await readTimeline(client);
  const { rows } = await client.query<{ oid: string }>('SELECT $1::regclass::oid::text AS oid', [
    `${schema}.databases`,
  ]);
  const common = [timeline?.system, timeline?.number, rows[0]?.oid, databaseId];
  const seed = createHash('sha256').update(JSON.stringify(common)).digest();
  return {
    seed: seed.subarray(0, SEED_BYTES),
    onMade(listener) {
      feed.watch(databaseId, 0);
      feed.listen(databaseId, listener);
      return () => feed.unwatch(databaseId);
    },
  };
}
