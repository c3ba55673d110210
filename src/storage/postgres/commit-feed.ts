/**
 * Notifications of commits between nodes: "database D has reached version V", by LISTEN and NOTIFY,
 * on one connection a process. They carry no data, and may be lost: each process polls the versions
 * of all open databases from time to time, and whenever it has connected again.
 *
 * A process receives its own notifications, too, which measures their lag. If it had none to send
 * since the last poll, it sends one with an empty database id.
 *
 * A notification is not part of the transaction that it reports: NOTIFY takes a lock of the whole
 * cluster until its commit is on the disk, so all commits of all databases would wait for each
 * other.
 */

import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { SyncError } from '../../errors/sync-error.ts';
import type { Logger } from '../../logging/logger.ts';
import type { CommitListener, StorageNotifications } from '../kv-store.ts';
import { answerInTime } from './answer-in-time.ts';
import type { Connections } from './connections.ts';
import { NotificationLag } from './notification-lag.ts';

export interface CommitFeedOptions {
  connections: Pick<Connections, 'toOwn'>;
  schema: string;
  /** The time between two polls, and the time limit for an answer. */
  pollMs: number;
  logger: Logger;
  /** Runs on each new connection, before it listens. If it fails, the connection is not used. */
  onConnect?(client: pg.Client): Promise<void>;
}

interface Watched {
  /** The newest known version; -1 if listeners have to be called again, whatever the version is. */
  version: number;
  /** A version that a poll has found. Its notification may still arrive before the next poll. */
  unreceivedVersion?: number;
  listeners: Set<CommitListener>;
}

const RECONNECT_MS = 500;
/** The database id of a notification that only measures the lag. */
const NO_DATABASE = '';

export class CommitFeed {
  readonly #options: CommitFeedOptions;
  readonly #node = randomUUID();
  readonly #watched = new Map<string, Watched>();
  /** Versions of this process's commits for which no notification was sent yet. */
  readonly #unpublished = new Map<string, number>();
  #client: pg.Client | undefined;
  #unpublishedSince: number | undefined;
  #publishing = false;
  readonly #lag = new NotificationLag();
  #connects = 0;
  #missed = 0;
  #publishedSincePoll = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: CommitFeedOptions) {
    this.#options = options;
  }

  /**
   * Connects and listens. If that fails, it tries again from time to time.
   * @throws SyncError STORE_LOCKED from `onConnect`: then it does not try again
   */
  async start(): Promise<void> {
    try {
      await this.#connect();
    } catch (error) {
      if (error instanceof SyncError && error.code === 'STORE_LOCKED') throw error;
      this.#later(RECONNECT_MS);
    }
  }

  watch(databaseId: string, version: number): void {
    this.#watched.set(databaseId, { version, listeners: new Set() });
  }

  unwatch(databaseId: string): void {
    this.#watched.delete(databaseId);
  }

  /** @returns stops it */
  listen(databaseId: string, listener: CommitListener): () => void {
    const listeners = this.#watched.get(databaseId)?.listeners;
    listeners?.add(listener);
    return () => listeners?.delete(listener);
  }

  /** This process has committed: notifies the others. */
  committed(databaseId: string, version: number): void {
    const watched = this.#watched.get(databaseId);
    // A gap means that other processes have committed, and listeners here may not know.
    if (watched?.version === version - 1) watched.version = version;
    else this.#received(databaseId, version);
    this.#noteReceived(databaseId, version);
    this.#publish(databaseId, version);
  }

  figures(): StorageNotifications {
    const connected = this.#client !== undefined;
    return {
      connected,
      lagMs: connected ? this.#lag.ms : undefined,
      reconnects: Math.max(0, this.#connects - 1),
      missed: this.#missed,
    };
  }

  #publish(databaseId: string, version: number): void {
    this.#unpublished.set(databaseId, version);
    this.#unpublishedSince ??= performance.now();
    this.#send();
  }

  #received(databaseId: string, version: number): void {
    const watched = this.#watched.get(databaseId);
    // Without listeners yet, the next poll finds it.
    if (watched === undefined || watched.listeners.size === 0) return;
    if (version <= watched.version) return;
    // After a commit whose answer was lost the version is not known.
    watched.version = Number.isFinite(version) ? version : -1;
    for (const listener of watched.listeners) void this.#call(watched, listener);
  }

  async #call(watched: Watched, listener: CommitListener): Promise<void> {
    // The listener could not read the commit: the next poll calls it again.
    if ((await listener()) === false) watched.version = -1;
  }

  /** Sends waiting notifications, one message at a time. */
  #send(): void {
    const client = this.#client;
    if (this.#publishing || client === undefined || this.#unpublished.size === 0) return;
    this.#publishing = true;
    const payloads = [...this.#unpublished].map(
      ([id, version]) => `${this.#node} ${version} ${id}`,
    );
    this.#unpublished.clear();
    this.#lag.published(this.#unpublishedSince ?? performance.now());
    this.#unpublishedSince = undefined;
    this.#publishedSincePoll = true;
    client
      .query('SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload', [
        this.#options.schema,
        payloads,
      ])
      // Lost: the other processes find the commits when they poll.
      .catch(() => this.#lag.lost())
      .finally(() => {
        this.#publishing = false;
        this.#send();
      });
  }

  async #connect(): Promise<void> {
    const { connections, schema, pollMs, onConnect } = this.#options;
    const client = await connections.toOwn();
    client.on('end', () => this.#lost(client));
    client.on('notification', ({ payload = '' }) => {
      const [node, version, id = ''] = payload.split(' ');
      if (node === this.#node) this.#lag.received();
      else {
        this.#noteReceived(id, Number(version));
        this.#received(id, Number(version));
      }
    });
    try {
      await answerInTime(client, pollMs, async () => {
        await onConnect?.(client);
        // Notifications need not be on the disk.
        await client.query('SET synchronous_commit = off');
        await client.query(`LISTEN ${schema}`);
      });
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
    if (this.#closed) return void (await client.end());
    this.#client = client;
    this.#connects++;
    await this.#poll(client);
    this.#send();
    this.#later(this.#options.pollMs);
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    this.#lag.lost();
    this.#options.logger('the connection that listens was lost');
    this.#later(RECONNECT_MS);
  }

  /** Polls or, without a connection, connects again, after a delay. */
  #later(delayMs: number): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      const client = this.#client;
      const asked = client === undefined ? this.#connect() : this.#poll(client);
      asked.then(
        () => this.#later(this.#options.pollMs),
        () => this.#later(RECONNECT_MS),
      );
    }, delayMs);
    this.#timer.unref();
  }

  /** A notification of all up to a version has arrived, or is not needed. */
  #noteReceived(databaseId: string, version: number): void {
    const watched = this.#watched.get(databaseId);
    if (watched?.unreceivedVersion !== undefined && watched.unreceivedVersion <= version) {
      watched.unreceivedVersion = undefined;
    }
  }

  /** Counts versions for which no notification has arrived since the poll that found them. */
  #countMissed(): void {
    for (const watched of this.#watched.values()) {
      if (watched.unreceivedVersion !== undefined) this.#missed++;
      watched.unreceivedVersion = undefined;
    }
  }

  /**
   * Polls, and closes a connection that does not answer: nothing else would show that it is dead.
   */
  #poll(client: pg.Client): Promise<void> {
    if (!this.#publishedSincePoll) this.#publish(NO_DATABASE, 0);
    this.#publishedSincePoll = false;
    return answerInTime(client, this.#options.pollMs, () => this.#readVersions(client));
  }

  async #readVersions(client: pg.Client): Promise<void> {
    this.#countMissed();
    // Even if no database is open, to see whether the connection answers.
    const { rows } = await client.query<{ database_id: string; version: string }>(
      `SELECT database_id, version FROM ${this.#options.schema}.databases ` +
        'WHERE database_id = ANY($1::text[])',
      [[...this.#watched.keys()]],
    );
    for (const { database_id, version } of rows) {
      const watched = this.#watched.get(database_id);
      // A replica without all commits has taken over, and counts on from an older version.
      if (watched !== undefined && Number(version) < watched.version) watched.version = -1;
      const isNews = watched !== undefined && watched.version >= 0 && watched.listeners.size > 0;
      if (isNews && watched.version < Number(version)) watched.unreceivedVersion = Number(version);
      this.#received(database_id, Number(version));
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }
}
