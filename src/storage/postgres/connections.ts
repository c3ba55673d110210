/**
 * Connections to the host that takes writes. There are three pools, so that writes never wait for
 * reads, nor short reads for the snapshots of slow clients.
 *
 * All connections pipeline: a statement is sent without waiting for the answer to the one before.
 *
 * Every wait has a time limit. If the network drops packets without closing connections, a
 * statement is not answered in time: then its connection is closed, and all that was sent on it
 * fails.
 */

import pg from 'pg';
import { SyncError } from '../../errors/sync-error.ts';
import type { StoragePool } from '../kv-store.ts';
import type { PostgresAddress, PostgresHost } from './address.ts';
import { TimelineGuard } from './timeline.ts';

/**
 * After this time without traffic the kernel checks whether the connection is alive (TCP
 * keep-alive).
 */
const KEEP_ALIVE_MS = 10_000;
const SERVER_OPTIONS = [
  // Otherwise backends of a coordinator that vanished would use up connections for two hours.
  'tcp_keepalives_idle=30',
  'tcp_keepalives_interval=10',
  'tcp_keepalives_count=3',
  // One plan for all values. While there are no statistics, a plan for given values would sort a
  // whole range instead of stopping at the limit.
  'plan_cache_mode=force_generic_plan',
];

/** Why a connection is closed on which nothing has failed. */
const SUSPECT = new Error('it was made before another one was lost');

export interface ConnectionOptions {
  address: PostgresAddress;
  /** The most connections of each pool. */
  connectionsMax: number;
  onLost(error: Error): void;
}

/**
 * Each method gives a connection, which the caller must release. Rejects with the error of
 * connecting.
 */
export interface Connections {
  toWrite(): Promise<pg.PoolClient>;
  toRead(): Promise<pg.PoolClient>;
  /** For long reads, such as snapshots for slow clients. */
  toView(): Promise<pg.PoolClient>;
  /**
   * A connection outside of the pools, which the caller must end or cut.
   * @param timeoutMs the time limit for connecting
   */
  toOwn(timeoutMs?: number): Promise<pg.Client>;
  pools(): StoragePool[];
  /** Later calls reject. Waits for connections that are in use. */
  close(): Promise<void>;
}

export function createConnections(options: ConnectionOptions): Connections {
  const { address, connectionsMax, onLost } = options;
  const { connectMs, queryMs, stallMs } = address.timeouts;
  const timelines = new TimelineGuard();
  let turn = 0;
  /** The number of attempts to connect. */
  let tried = 0;
  const hostNow = (): PostgresHost =>
    address.hosts[turn % address.hosts.length] ?? address.hosts[0];
  const settings: pg.ClientConfig = {
    user: address.user,
    password: address.password,
    database: address.database,
    ssl: address.ssl,
    application_name: address.applicationName,
    connectionTimeoutMillis: connectMs,
    query_timeout: queryMs,
    // A statement that timed out here must not go on in PostgreSQL, and wait for locks.
    statement_timeout: queryMs,
    idle_in_transaction_session_timeout: stallMs,
    options: SERVER_OPTIONS.map((option) => `-c ${option}`).join(' '),
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    pipeline: true,
  };

  /**
   * The number of lost connections. All that were made before the last loss may be dead as well.
   */
  let losses = 0;

  /** One for each connection, made with the host that is in turn at that time. */
  class HostClient extends pg.Client {
    readonly lossesBefore = losses;

    constructor(own?: pg.ClientConfig) {
      super({ ...settings, ...hostNow(), ...own });
      tried++;
      // A user of the connection gets the error from its statement. This listener is for the time
      // between two users: without it a connection that dies would end the process.
      this.on('error', (error) => {
        losses++;
        onLost(error);
      });
    }

    /**
     * Ends within `connectMs`, even if the server does not answer: `pg` alone would wait for ever.
     */
    override end(): Promise<void>;
    override end(callback: (error: Error) => void): void;
    override end(callback?: (error: Error) => void): Promise<void> | void {
      const silence = setTimeout(() => cut(this), connectMs);
      this.once('end', () => clearTimeout(silence));
      return callback === undefined ? super.end() : super.end(callback);
    }
  }

  const verify = async (client: pg.ClientBase): Promise<void> => {
    await Promise.all([refuseReadOnly(client), timelines.refuseOlder(client)]);
  };

  /** Switches to the next host if this one does not answer or must not be used. */
  async function connecting<T>(connect: () => Promise<T>): Promise<T> {
    const before = { turn, tried };
    try {
      return await connect();
    } catch (error) {
      // Only once for all calls that failed together. And not if no host was tried, since all
      // connections are in use.
      if (turn === before.turn && tried > before.tried) turn++;
      throw error;
    }
  }

  const pools = new Map<string, pg.Pool>();
  /** @param waitMs how long to wait for a free connection */
  const createPool = (name: string, waitMs: number) => {
    const pool = new pg.Pool({
      Client: HostClient,
      max: connectionsMax,
      idleTimeoutMillis: 30_000,
      connectionTimeoutMillis: waitMs,
      verify: (client, done) => {
        verify(client).then(() => done(), done);
      },
    });
    // Each client has reported it already.
    pool.on('error', () => undefined);
    // The user of a connection knows of the failure before its socket does, and may ask again at
    // once.
    pool.on('release', (error) => {
      if (error && error !== SUSPECT) losses++;
    });
    pools.set(name, pool);
    return () =>
      connecting(async () => {
        for (;;) {
          const client = await pool.connect();
          if (!(client instanceof HostClient) || client.lossesBefore === losses) return client;
          // It may be dead. To ask it would take a round trip for each.
          client.release(SUSPECT);
        }
      });
  };

  return {
    toWrite: createPool('write', queryMs),
    toRead: createPool('read', queryMs),
    // A client that reads nothing keeps its connection until its socket is closed.
    toView: createPool('snapshot', connectMs),
    toOwn: (timeoutMs = connectMs) =>
      connecting(async () => {
        const client = new HostClient({ connectionTimeoutMillis: timeoutMs });
        try {
          await client.connect();
          await verify(client);
          return client;
        } catch (error) {
          cut(client);
          throw error;
        }
      }),
    pools: () =>
      [...pools].map(([name, { totalCount, idleCount, waitingCount }]) => ({
        name,
        max: connectionsMax,
        open: totalCount,
        idle: idleCount,
        waiting: waitingCount,
      })),
    close: async () => {
      await Promise.allSettled([...pools.values()].map((pool) => pool.end()));
    },
  };
}

/** Closes a connection at once, without the goodbye, which a dead one never answers. */
export function cut(client: pg.Client): void {
  client.connection.stream.destroy();
}

/**
 * Runs `work` on a connection, and closes that if `work` fails: its state is unknown.
 */
export async function withConnection<T>(
  connect: () => Promise<pg.PoolClient>,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await connect();
  let isSound = false;
  try {
    const result = await work(client);
    isSound = true;
    return result;
  } finally {
    client.release(!isSound);
  }
}

/** @throws SyncError STORE_UNAVAILABLE */
export async function refuseReadOnly(client: pg.ClientBase): Promise<void> {
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
