/**
 * Connections to whichever of the hosts takes writes. Two pools: what writes must never wait
 * for those who read slowly.
 *
 * All of them pipeline: a statement is sent without waiting for the answer to the one before.
 */

import pg from 'pg';
import { SyncError } from '../../errors.ts';
import type { PostgresAddress, PostgresHost } from './address.ts';

export interface ConnectionOptions {
  address: PostgresAddress;
  /** Of each pool. */
  connectionsMax: number;
  connectTimeoutMs: number;
  /** A transaction whose owner is silent for so long is ended by PostgreSQL: it has stalled. */
  stallTimeoutMs: number;
  onIdleError(error: Error): void;
}

export interface Connections {
  /** For transactions that write. */
  writes: pg.Pool;
  /** For reads and views. */
  reads: pg.Pool;
  /** One of its own, not yet connected. */
  createClient(): pg.Client;
  /** The host in use did not answer, or takes no writes: the next is tried from now on. */
  tryNextHost(): void;
  close(): Promise<void>;
}

export function createConnections(options: ConnectionOptions): Connections {
  const { address, connectionsMax, connectTimeoutMs, stallTimeoutMs, onIdleError } = options;
  let turn = 0;
  const hostNow = (): PostgresHost =>
    address.hosts[turn % address.hosts.length] ?? address.hosts[0];
  const settings: pg.ClientConfig = {
    user: address.user,
    password: address.password,
    database: address.database,
    ssl: address.ssl,
    application_name: address.applicationName,
    connectionTimeoutMillis: connectTimeoutMs,
    idle_in_transaction_session_timeout: stallTimeoutMs,
    keepAlive: true,
    pipeline: true,
  };

  /** Made anew for each connection, so that each goes to the host that is in use by then. */
  class HostClient extends pg.Client {
    constructor() {
      super({ ...settings, ...hostNow() });
      // Whoever uses it learns of it from the statement that fails. Without a listener at any
      // moment between two owners, a connection that dies would end the process.
      this.on('error', onIdleError);
    }
  }

  const createPool = () => {
    const pool = new pg.Pool({
      Client: HostClient,
      max: connectionsMax,
      idleTimeoutMillis: 30_000,
      verify: (client, done) => {
        refuseReadOnly(client).then(() => done(), done);
      },
    });
    pool.on('error', () => undefined);
    return pool;
  };

  const writes = createPool();
  const reads = createPool();
  return {
    writes,
    reads,
    createClient: () => new HostClient(),
    tryNextHost() {
      turn++;
    },
    close: async () => {
      await Promise.allSettled([writes.end(), reads.end()]);
    },
  };
}

async function refuseReadOnly(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ transaction_read_only: string }>(
    'SHOW transaction_read_only',
  );
  if (rows[0]?.transaction_read_only === 'on') {
    throw new SyncError(
      'STORE_UNAVAILABLE',
      'storage.url names a read-only replica: name the primary, or all hosts separated by commas',
    );
  }
}
