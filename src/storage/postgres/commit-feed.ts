/**
 * Word of commits between nodes: "database D has reached version V", by LISTEN and NOTIFY, on one
 * connection a process. It carries no data, and may be lost: every so often, and whenever the
 * connection is made anew, the versions of all open databases are asked for.
 *
 * What is said is not part of the transaction that it is about: NOTIFY takes a lock of the whole
 * cluster until its commit is on the disk, and all commits of all databases would queue for it.
 */

import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { Logger } from '../../logger.ts';
import type { CommitListener } from '../kv-store.ts';
import type { Connections } from './connections.ts';

export interface CommitFeedOptions {
  connections: Connections;
  schema: string;
  pollMs: number;
  logger: Logger;
}

interface Watched {
  /** The newest that is known of here. */
  version: number;
  listeners: Set<CommitListener>;
}

const RECONNECT_MS = 500;

export class CommitFeed {
  readonly #options: CommitFeedOptions;
  readonly #node = randomUUID();
  readonly #watched = new Map<string, Watched>();
  /** Versions of our own commits that nobody was told of yet. */
  readonly #untold = new Map<string, number>();
  #client: pg.Client | undefined;
  #telling = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: CommitFeedOptions) {
    this.#options = options;
  }

  /** Listens, and goes on trying when it cannot. */
  start(): void {
    this.#connect().catch(() => this.#later(RECONNECT_MS));
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
    else this.#heard(databaseId, version);
    this.#untold.set(databaseId, version);
    this.#tell();
  }

  #heard(databaseId: string, version: number): void {
    const watched = this.#watched.get(databaseId);
    // While nobody listens yet it is left for the next poll.
    if (watched === undefined || watched.listeners.size === 0) return;
    if (version <= watched.version) return;
    if (Number.isFinite(version)) watched.version = version;
    for (const listener of watched.listeners) void this.#look(watched, listener);
  }

  async #look(watched: Watched, listener: CommitListener): Promise<void> {
    // It could not: the next poll finds that more is there than is known.
    if ((await listener()) === false) watched.version = -1;
  }

  #tell(): void {
    const client = this.#client;
    if (this.#telling || client === undefined || this.#untold.size === 0) return;
    this.#telling = true;
    const payloads = [...this.#untold].map(([id, version]) => `${this.#node} ${version} ${id}`);
    this.#untold.clear();
    client
      .query('SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload', [
        this.#options.schema,
        payloads,
      ])
      // Lost: the others find out when they ask.
      .catch(() => undefined)
      .finally(() => {
        this.#telling = false;
        this.#tell();
      });
  }

  async #connect(): Promise<void> {
    const { connections, schema } = this.#options;
    const client = await connections.toListen();
    client.on('end', () => this.#lost(client));
    client.on('notification', ({ payload = '' }) => {
      const [node, version, id = ''] = payload.split(' ');
      if (node !== this.#node) this.#heard(id, Number(version));
    });
    try {
      // Word need not be on the disk.
      await client.query('SET synchronous_commit = off');
      await client.query(`LISTEN ${schema}`);
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
    if (this.#closed) return void (await client.end());
    this.#client = client;
    await this.#poll(client);
    this.#tell();
    this.#later(this.#options.pollMs);
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client) return;
    this.#client = undefined;
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

  async #poll(client: pg.Client): Promise<void> {
    if (this.#watched.size === 0) return;
    const { rows } = await client.query<{ database_id: string; version: string }>(
      `SELECT database_id, version FROM ${this.#options.schema}.databases ` +
        'WHERE database_id = ANY($1::text[])',
      [[...this.#watched.keys()]],
    );
    for (const { database_id, version } of rows) this.#heard(database_id, Number(version));
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }
}
