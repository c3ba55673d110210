/**
 * Word of commits between nodes: "database D has reached version V", by LISTEN and NOTIFY, on one
 * connection a process. It carries no data, and may be lost: every so often, and whenever the
 * connection is made anew, the versions of all open databases are asked for.
 *
 * Each process hears its own word, too, which tells how long that takes. Where there was nothing to
 * tell for a while, it says so, with a database id that is none.
 *
 * What is said is not part of the transaction that it is about: NOTIFY takes a lock of the whole
 * cluster until its commit is on the disk, and all commits of all databases would queue for it.
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
  /** Between two polls; also the most that an answer is waited for. */
  pollMs: number;
  logger: Logger;
  /** Run on each connection that is made, before it listens; one on which it fails is not used. */
  onConnect?(client: pg.Client): Promise<void>;
}

interface Watched {
  /** The newest that is known of here; -1 when somebody has to look again, whatever it is. */
  version: number;
  /** Found by a poll. Word of it may still be on its way, until the next one. */
  unreceivedVersion?: number;
  listeners: Set<CommitListener>;
}

const RECONNECT_MS = 500;
/** Of word that is about no database. */
const NO_DATABASE = '';

export class CommitFeed {
  readonly #options: CommitFeedOptions;
  readonly #node = randomUUID();
  readonly #watched = new Map<string, Watched>();
  /** Versions of our own commits that nobody was told of yet. */
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
   * Listens, and goes on trying when it cannot.
   * @throws SyncError STORE_LOCKED, of `onConnect`: it is not to go on
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

  /** This process has committed: others are told. */
  committed(databaseId: string, version: number): void {
    const watched = this.#watched.get(databaseId);
    // What lies between was written by others: nobody here need have heard of it.
    if (watched?.version === version - 1) watched.version = version;
    else this.#received(databaseId, version);
    this.#told(databaseId, version);
    this.#sayLater(databaseId, version);
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

  #sayLater(databaseId: string, version: number): void {
    this.#unpublished.set(databaseId, version);
    this.#unpublishedSince ??= performance.now();
    this.#tell();
  }

  #received(databaseId: string, version: number): void {
    const watched = this.#watched.get(databaseId);
    // While nobody listens yet it is left for the next poll.
    if (watched === undefined || watched.listeners.size === 0) return;
    if (version <= watched.version) return;
    // That of a commit which had to be found out is not known.
    watched.version = Number.isFinite(version) ? version : -1;
    for (const listener of watched.listeners) void this.#look(watched, listener);
  }

  async #look(watched: Watched, listener: CommitListener): Promise<void> {
    // It could not: the next poll finds that more is there than is known.
    if ((await listener()) === false) watched.version = -1;
  }

  #tell(): void {
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
      // Lost: the others find out when they ask.
      .catch(() => this.#lag.lost())
      .finally(() => {
        this.#publishing = false;
        this.#tell();
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
        this.#told(id, Number(version));
        this.#received(id, Number(version));
      }
    });
    try {
      await answerInTime(client, pollMs, async () => {
        await onConnect?.(client);
        // Word need not be on the disk.
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
    this.#tell();
    this.#later(this.#options.pollMs);
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    this.#lag.lost();
    this.#options.logger('the connection that listens was lost');
    this.#later(RECONNECT_MS);
  }

  /** Asks again, or connects again. */
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

  /** Word has come, or is not needed, of all up to a version. */
  #told(databaseId: string, version: number): void {
    const watched = this.#watched.get(databaseId);
    if (watched?.unreceivedVersion !== undefined && watched.unreceivedVersion <= version) {
      watched.unreceivedVersion = undefined;
    }
  }

  /** What has come by no word since the poll that found it will not any more. */
  #countMissed(): void {
    for (const watched of this.#watched.values()) {
      if (watched.unreceivedVersion !== undefined) this.#missed++;
      watched.unreceivedVersion = undefined;
    }
  }

  /** A connection that does not answer is given up: nothing else would tell that it is dead. */
  #poll(client: pg.Client): Promise<void> {
    if (!this.#publishedSincePoll) this.#sayLater(NO_DATABASE, 0);
    this.#publishedSincePoll = false;
    return answerInTime(client, this.#options.pollMs, () => this.#ask(client));
  }

  async #ask(client: pg.Client): Promise<void> {
    this.#countMissed();
    // Also where nothing is open: whether it answers is worth knowing.
    const { rows } = await client.query<{ database_id: string; version: string }>(
      `SELECT database_id, version FROM ${this.#options.schema}.databases ` +
        'WHERE database_id = ANY($1::text[])',
      [[...this.#watched.keys()]],
    );
    for (const { database_id, version } of rows) {
      const watched = this.#watched.get(database_id);
      // A replica has taken over that did not have all commits: it counts on from there.
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
