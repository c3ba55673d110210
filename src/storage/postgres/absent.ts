/**
 * Databases that are not there, and will have the same site id whichever node makes them. Each node
 * works it out from what they have in common, so that a device is told the same one by all.
 *
 * It has to be another one when the data was restored to an older state: a device that knows it from
 * before would not send again what is gone. So the timeline counts, and which table this is.
 */

import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { AbsentDatabase } from '../kv-store.ts';
import { UNFINISHED_KEY } from '../unfinished.ts';
import type { CommitFeed } from './commit-feed.ts';
import type { Place } from './reader.ts';
import { readTimeline } from './timeline.ts';

const SEED_BYTES = 16;
/** Keys before it are the storage layer's own. */
const FIRST_OF_ENGINE = Buffer.of(1);

/**
 * Whether a database has been made, or is being brought in: whether anything stands there but what
 * opening one writes.
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
