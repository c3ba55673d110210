/**
 * Checks whether PostgreSQL answers, and takes writes, on a connection outside of the pools: a pool
 * may be busy, which is not a failure.
 */

import type pg from 'pg';
import { answerInTime } from './answer-in-time.ts';
import { type Connections, cut, refuseReadOnly } from './connections.ts';
import { healthError } from './faults.ts';

export class Probe {
  readonly #connections: Pick<Connections, 'toOwn'>;
  readonly #timeoutMs: number;
  #client: pg.Client | undefined;
  #closed = false;

  constructor(connections: Pick<Connections, 'toOwn'>, timeoutMs: number) {
    this.#connections = connections;
    this.#timeoutMs = timeoutMs;
  }

  /** @throws SyncError STORE_UNAVAILABLE, within the time limit */
  async check(): Promise<void> {
    const deadline = performance.now() + this.#timeoutMs;
    try {
      const client = this.#client ?? (await this.#connect());
      await answerInTime(client, Math.max(1, deadline - performance.now()), () =>
        refuseReadOnly(client),
      );
    } catch (error) {
      this.#drop();
      throw healthError(error);
    }
  }

  async #connect(): Promise<pg.Client> {
    const client = await this.#connections.toOwn(this.#timeoutMs);
    if (this.#closed) {
      await client.end();
      throw new Error('the storage is closed');
    }
    client.once('end', () => {
      if (this.#client === client) this.#client = undefined;
    });
    this.#client = client;
    return client;
  }

  /** Closes the connection: its state is unknown. */
  #drop(): void {
    if (this.#client !== undefined) cut(this.#client);
    this.#client = undefined;
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }
}
