/**
 * Storage in PostgreSQL, which several coordinators may share. `schema.ts` has the tables,
 * `transaction.ts` the writes and their lock, `commit-feed.ts` the notifications between
 * coordinators.
 */

import type pg from 'pg';
import type { Logger } from '../../logging/logger.ts';
import { createStorage } from '../create-storage.ts';
import type { KVStore, Storage } from '../kv-store.ts';
import { foreseeDatabase, isMade } from './absent.ts';
import { describeAddress, type PostgresAddress } from './address.ts';
import { CommitFeed } from './commit-feed.ts';
import { type Connections, createConnections, withConnection } from './connections.ts';
import { startupError, unavailable } from './faults.ts';
import { refuseSharedSessions } from './pooler.ts';
import { Probe } from './probe.ts';
import type { Place } from './reader.ts';
import { ensureSchema } from './schema.ts';
import { type LockAlone, lockAlone, lockToServe } from './serving-lock.ts';
import { createPostgresStore, type TransactionCounts } from './store.ts';

export interface PostgresStorageOptions {
  address: PostgresAddress;
  logger: Logger;
  /** Creates nothing, neither tables nor a database. */
  existing?: boolean;
  /** Keeps all other writers out while it is open; only with `existing`. */
  alone?: boolean;
}

/** The most connections of each of the three pools; PostgreSQL allows 100 in all by default. */
const CONNECTIONS_MAX = 10;
/** Shorter than the second after which Kubernetes gives up a probe. */
const PROBE_MS = 700;
/** The most by which a lost notification delays a push. */
const POLL_MS = 5000;

/** @throws SyncError STORE_UNAVAILABLE, STORE_FORMAT: their messages are for the operator */
export async function createPostgresStorage(options: PostgresStorageOptions): Promise<Storage> {
  const { address, logger, existing = false, alone = false } = options;
  const { schema } = address;
  const connections = createConnections({
    address,
    connectionsMax: CONNECTIONS_MAX,
    onLost: (error) => logger('a connection was lost: %s', error.message),
  });
  const feed = new CommitFeed({
    ...{ connections, schema, pollMs: POLL_MS, logger },
    // A reader of one consistent view does not need the lock.
    ...(!existing && { onConnect: (client) => lockToServe(client, schema) }),
  });
  let lock: LockAlone | undefined;
  try {
    await prepare(connections, address, existing);
    await refuseSharedSessions(connections);
    if (alone) lock = await lockAlone(connections, schema);
    await feed.start();
  } catch (error) {
    await Promise.all([lock?.close(), feed.close()]);
    await connections.close();
    throw startupError(describeAddress(address), error);
  }
  const probe = new Probe(connections, PROBE_MS);
  const transactions: TransactionCounts = { retries: 0, resolved: 0 };
  async function openStore(databaseId: string): Promise<KVStore> {
    try {
      const version = await withConnection(connections.toWrite, (client) =>
        enter(client, { schema, databaseId }, { existing }),
      );
      feed.watch(databaseId, version);
    } catch (error) {
      throw unavailable(error);
    }
    return createPostgresStore({
      connections,
      place: { schema, databaseId },
      counts: transactions,
      timeouts: address.timeouts,
      onCommitted: (version) => feed.committed(databaseId, version),
      watch: (listener) => feed.listen(databaseId, listener),
      onClose: () => feed.unwatch(databaseId),
      assertReadable: () => lock?.assertHeld(),
    });
  }

  const asking = <T>(ask: (client: pg.PoolClient) => Promise<T>): Promise<T> =>
    withConnection(connections.toRead, ask).catch((error: unknown) => {
      throw unavailable(error);
    });

  return createStorage({
    description: describeAddress(address),
    existing,
    isShared: true,
    open: openStore,
    has: (databaseId) => asking((client) => isMade(client, { schema, databaseId })),
    absentDatabase: (databaseId) =>
      asking((client) => foreseeDatabase(client, { schema, databaseId }, feed)),
    list: () =>
      withConnection(connections.toRead, async (client) => {
        const { rows } = await client.query<{ database_id: string }>(
          `SELECT database_id FROM ${schema}.databases ORDER BY database_id`,
        );
        return rows.map(({ database_id }) => database_id);
      }),
    health: {
      check: () => probe.check(),
      figures: () => ({
        pools: connections.pools(),
        notifications: feed.figures(),
        transactions: { ...transactions },
      }),
    },
    async close() {
      probe.close();
      await Promise.all([lock?.close(), feed.close()]);
      await connections.close();
    },
  });
}

/** Tries each host once: the first that takes writes is used. */
async function prepare(
  connections: Connections,
  { hosts, schema }: PostgresAddress,
  existing: boolean,
): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await withConnection(connections.toWrite, (client) =>
        ensureSchema(client, schema, { existing }),
      );
    } catch (error) {
      if (tries >= hosts.length) throw error;
    }
  }
}

/** @returns the version of a database; 0 if it does not exist and must not be created */
async function enter(
  client: pg.ClientBase,
  { schema, databaseId }: Place,
  { existing }: { existing: boolean },
): Promise<number> {
  if (!existing) {
    await client.query(
      `INSERT INTO ${schema}.databases (database_id) VALUES ($1) ON CONFLICT DO NOTHING`,
      [databaseId],
    );
  }
  const { rows } = await client.query<{ version: string }>(
    `SELECT version FROM ${schema}.databases WHERE database_id = $1`,
    [databaseId],
  );
  return Number(rows[0]?.version ?? 0);
}
