/**
 * What one process hears of the commits of others, as `src/storage/postgres/commit-feed.ts` has it:
 * words that come late, in any order or not at all, and a look every so often at what there is.
 */

import type { CommitListener } from '../../src/storage/kv-store.ts';
import type { SharedStore } from './shared-store.ts';

/** The most that a lost word delays a push. */
const POLL_MS = 1500;

interface Watched {
  /** The newest that is known of here. */
  version: number;
  listeners: Set<CommitListener>;
}

export class CommitWords {
  readonly #store: SharedStore;
  readonly #owner: string;
  readonly #watched = new Map<string, Watched>();
  #isStopped = false;

  constructor(store: SharedStore, owner: string) {
    this.#store = store;
    this.#owner = owner;
  }

  start(): void {
    this.#later();
  }

  stop(): void {
    this.#isStopped = true;
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

  /** This process has committed. */
  committed(databaseId: string, version: number): void {
    const watched = this.#watched.get(databaseId);
    if (watched?.version === version - 1) watched.version = version;
    else this.heard(databaseId, version);
    this.#store.tell(this.#owner, databaseId, version);
  }

  heard(databaseId: string, version: number): void {
    const watched = this.#watched.get(databaseId);
    if (watched === undefined || watched.listeners.size === 0) return;
    if (version <= watched.version) return;
    if (Number.isFinite(version)) watched.version = version;
    for (const listener of watched.listeners) void this.#look(watched, listener);
  }

  async #look(watched: Watched, listener: CommitListener): Promise<void> {
    if ((await listener()) === false) watched.version = -1;
  }

  #later(): void {
    this.#store.loop.at(POLL_MS, () => void this.#poll(), this.#owner);
  }

  async #poll(): Promise<void> {
    if (this.#isStopped) return;
    const connection = this.#store.connect(this.#owner);
    try {
      const versions = await connection.ask<[string, number][]>((answer) =>
        answer([...this.#watched.keys()].map((id) => [id, this.#store.shared(id).version])),
      );
      for (const [databaseId, version] of versions) this.heard(databaseId, version);
    } catch {
      // The next time.
    } finally {
      connection.close();
      this.#later();
    }
  }
}
