/**
 * Connections to whichever of the hosts takes writes. Three pools, so that what writes never waits
 * for those who read, nor those who read in a moment for the snapshots of slow clients.
 *
 * All of them pipeline: a statement is sent without waiting for the answer to the one before.
 *
 * None is waited for without end. A way that swallows everything and closes nothing is noticed by
 * the statement that is not answered in time: its connection is given up, and with it whatever else
 * was sent on it.
 */

import pg from 'pg';
import { SyncError } from '../../errors/sync-error.ts';
import type { StoragePool } from '../kv-store.ts';
import type { PostgresAddress, PostgresHost } from './address.ts';
import { TimelineGuard } from './timeline.ts';

/** A connection without traffic is asked whether it is still there, by either side's kernel. */
const KEEP_ALIVE_MS = 10_000;
const SERVER_OPTIONS = [
  // Backends of a coordinator that is gone without a word would else take up places for two hours.
  'tcp_keepalives_idle=30',
  'tcp_keepalives_interval=10',
  'tcp_keepalives_count=3',
  // One plan serves all values. Planned for the ones at hand, a read of a range sorts all that lies
  // in it while there are no statistics yet, instead of stopping where it has enough.
  'plan_cache_mode=force_generic_plan',
];

/** Why a connection is given up on which nothing has failed. */
const SUSPECT = new Error('it was made before another one was lost');

export interface ConnectionOptions {
  address: PostgresAddress;
  /** Of each pool. */
  connectionsMax: number;
  onLost(error: Error): void;
}

/** Each gives one, which is to be released. They reject with what connecting failed of. */
export interface Connections {
  toWrite(): Promise<pg.PoolClient>;
  toRead(): Promise<pg.PoolClient>;
  /** For as long as a client takes. */
  toView(): Promise<pg.PoolClient>;
  /**
   * One of its own, which is to be ended or cut.
   * @param timeoutMs for making it
   */
  toOwn(timeoutMs?: number): Promise<pg.Client>;
  pools(): StoragePool[];
  /** Later calls reject; waits for what was not released yet. */
  close(): Promise<void>;
}

export function createConnections(options: ConnectionOptions): Connections {
  const { address, connectionsMax, onLost } = options;
  const { connectMs, queryMs, stallMs } = address.timeouts;
  const timelines = new TimelineGuard();
  let turn = 0;
  /** Connections that were tried. */
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
    // What is not waited for any more is not to go on there, and to queue for locks.
    statement_timeout: queryMs,
    idle_in_transaction_session_timeout: stallMs,
    options: SERVER_OPTIONS.map((option) => `-c ${option}`).join(' '),
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    pipeline: true,
  };

  /** Connections that were lost. Those made before the last of them may be dead as well. */
  let losses = 0;

  /** Made anew for each connection, so that each goes to the host that is in use by then. */
  class HostClient extends pg.Client {
    readonly lossesBefore = losses;

    constructor(own?: pg.ClientConfig) {
      super({ ...settings, ...hostNow(), ...own });
      tried++;
      // Whoever uses it learns of it from the statement that fails. Without a listener at any
      // moment between two owners, a connection that dies would end the process.
      this.on('error', (error) => {
        losses++;
        onLost(error);
      });
    }

    /** Also where nobody answers the goodbye, which `pg` would wait for without end. */
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

  /** The next host is in turn where this one did not answer or is not to be used. */
  async function connecting<T>(connect: () => Promise<T>): Promise<T> {
    const before = { turn, tried };
    try {
      return await connect();
    } catch (error) {
      // Once for all who found that out together; and no host is to blame when none was asked, since
      // all connections are in use.
      if (turn === before.turn && tried > before.tried) turn++;
      throw error;
    }
  }

  const pools = new Map<string, pg.Pool>();
  /** @param waitMs for one to be released */
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
    // Each has told already.
    pool.on('error', () => undefined);
    // Its owner knows of it a moment before the socket does, and may be back at once.
    pool.on('release', (error) => {
      if (error && error !== SUSPECT) losses++;
    });
    pools.set(name, pool);
    return () =>
      connecting(async () => {
        for (;;) {
          const client = await pool.connect();
          if (!(client instanceof HostClient) || client.lossesBefore === losses) return client;
          // To find out by asking would take the time of a statement for each.
          client.release(SUSPECT);
        }
      });
  };

  return {
    toWrite: createPool('write', queryMs),
    toRead: createPool('read', queryMs),
    // Those of clients that read nothing are only let go when their sockets are.
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

/** Closes a connection of one's own at once, without the goodbye that a dead one never answers. */
export function cut(client: pg.Client): void {
  client.connection.stream.destroy();
}

/**
 * Runs `work` on a connection. One on which something failed is not used again: in which state it
 * is, is not worth finding out.
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
