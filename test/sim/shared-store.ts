/**
 * What several simulated coordinators keep their databases in together, with the semantics of the
 * storage in PostgreSQL: the one side is what stands here (connections, row locks, what is
 * committed), the other what each process makes of it (`shared-database.ts`, `commit-words.ts`).
 *
 * It is reached over a network: statements and answers get lost with their connection. It may be
 * down, or out of reach of one process, which it then goes on waiting for until it is fenced.
 */

import { createStorage } from '../../src/storage/create-storage.ts';
import type { Storage } from '../../src/storage/kv-store.ts';
import { CommitWords } from './commit-words.ts';
import { Committed } from './committed.ts';
import { type Loop, OUTSIDE } from './loop.ts';
import type { Random } from './random.ts';
import { RowLock } from './row-lock.ts';
import { Connection, FENCE_MS } from './shared-connection.ts';
import { openSharedDatabase, unavailable } from './shared-database.ts';
import type { SimStorage } from './sim-storage.ts';

/** Words of commits that nobody hears. */
const WORDS_LOST = 0.2;
const WORDS_LOST_MOSTLY = 0.95;

/** One database, as it stands in the store. */
export interface Shared {
  readonly databaseId: string;
  readonly lock: RowLock;
  /** Counts commits. */
  version: number;
  /** The number of its newest commit, by writer. */
  readonly notes: Map<object, number>;
}

export class SharedStore implements SimStorage {
  readonly committed: Committed;
  readonly loop: Loop;
  readonly random: Random;
  /** How likely a connection is to break, at each statement and each answer. */
  breaks = 0;
  /** How likely a process is to stall within a transaction. */
  stalls = 0;
  lingerMs = 0;
  #wordsLost = WORDS_LOST;
  readonly #sharedById = new Map<string, Shared>();
  readonly #connections = new Set<Connection>();
  readonly #words = new Map<string, CommitWords>();
  #isDown = false;
  #cutOff: string | undefined;

  constructor(loop: Loop, random: Random) {
    this.committed = new Committed(loop);
    this.loop = loop;
    this.random = random;
  }

  // — what troubles it

  toggleOutage(): void {
    if (this.#isDown || this.#cutOff !== undefined) {
      this.#isDown = false;
      this.#cutOff = undefined;
    } else if (this.random.chance(0.5)) this.#goDown();
    else this.#cutOff = this.random.pick([...this.#words.keys()]);
  }

  #goDown(): void {
    this.#isDown = true;
    for (const connection of [...this.#connections]) connection.end();
  }

  changeFaults(): void {
    this.breaks = this.random.pick([0, 0.002, 0.02]);
    this.stalls = this.random.pick([0, 0.05, 0.2]);
  }

  hearLate(): void {
    this.#wordsLost = WORDS_LOST_MOSTLY;
  }

  mend(): void {
    this.lingerMs = 0;
    this.#wordsLost = WORDS_LOST;
    this.#isDown = false;
    this.#cutOff = undefined;
    this.breaks = 0;
    this.stalls = 0;
  }

  killed(owner: string): void {
    this.#words.delete(owner);
    // It finds out sooner or later; what was sent to it before still takes effect.
    for (const connection of this.#connections) {
      if (connection.owner !== owner) continue;
      this.loop.at(this.random.next() * FENCE_MS, () => connection.end(), OUTSIDE);
    }
  }

  // — for those who use it

  /** Whether the process with this name is still there, to hear anything. */
  isThere(owner: string): boolean {
    return this.#words.has(owner);
  }

  isReachable(owner: string): boolean {
    return !this.#isDown && owner !== this.#cutOff;
  }

  connect(owner: string): Connection {
    const connection = new Connection(this, owner, () => this.#connections.delete(connection));
    this.#connections.add(connection);
    return connection;
  }

  shared(databaseId: string): Shared {
    const lock = new RowLock();
    const fresh: Shared = { databaseId, lock, version: 0, notes: new Map() };
    const shared = this.#sharedById.get(databaseId) ?? fresh;
    this.#sharedById.set(databaseId, shared);
    return shared;
  }

  /** Says to all other processes that a database has reached a version: late, or to nobody. */
  tell(owner: string, databaseId: string, version: number): void {
    const { loop, random } = this;
    if (!this.isReachable(owner)) return;
    for (const [listener, words] of this.#words) {
      if (listener === owner || random.chance(this.#wordsLost)) continue;
      const delayMs = random.next() * (random.chance(0.2) ? 400 : 10);
      loop.at(delayMs, () => words.heard(databaseId, version), listener);
    }
  }

  mount(owner: string): Storage {
    const words = new CommitWords(this, owner);
    this.#words.set(owner, words);
    words.start();
    return createStorage({
      description: 'simulated, shared',
      open: async (databaseId) => {
        const shared = this.shared(databaseId);
        const connection = this.connect(owner);
        try {
          words.watch(databaseId, await connection.ask<number>((answer) => answer(shared.version)));
        } catch (error) {
          throw unavailable(error);
        } finally {
          connection.close();
        }
        return openSharedDatabase({ store: this, owner, shared, words });
      },
      close: () => {
        words.stop();
        this.#words.delete(owner);
      },
    });
  }
}
