/**
 * Commits waiting items in groups: while one group is being made durable, the next one gathers. A
 * group is all that waits, up to a bound. So one fsync serves many under load, and a lone writer
 * does not wait for others.
 *
 * There are two kinds of failure. If a member's own content caused it, no other member must fail:
 * each is committed alone. If the store failed, the whole group and all that waits behind it are
 * rejected at once: each attempt with a store that is gone may take its whole time limit, and the
 * attempts would add up.
 */

import { SyncError } from '../../errors/sync-error.ts';
import { isStoreFailure } from '../../storage/store-failure.ts';

/** Changes in one store transaction, about: bounds its memory, and the wait for the next group. */
export const GROUP_WEIGHT_MAX = 20_000;

interface Waiting<Item, Result> {
  item: Item;
  admit: (() => void) | undefined;
  weight: number;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

export class GroupCommit<Item, Result> {
  readonly #commit: (items: readonly Item[]) => Promise<Result[]>;
  readonly #weigh: (item: Item) => number;
  readonly #gather: () => Promise<void>;
  #waiting: Waiting<Item, Result>[] = [];
  /** Resolves when all work that has been queued so far is done. */
  #lane: Promise<unknown> = Promise.resolve();
  #scheduled = false;
  #closed = false;
  /** How often the store has failed, and its last error. */
  #storeFailures = 0;
  #storeFailure: SyncError | undefined;

  /**
   * @param commit makes a group durable and gives one result for each item
   * @param gather resolves once all items that arrived together have been added: without it the
   *   first of them would be a group alone, and the others would wait for its fsync
   */
  constructor(
    commit: (items: readonly Item[]) => Promise<Result[]>,
    weigh: (item: Item) => number,
    gather: () => Promise<void>,
  ) {
    this.#commit = commit;
    this.#weigh = weigh;
    this.#gather = gather;
  }

  /**
   * @param admit called when the item's group is made; if it throws, the item is rejected with that
   *   error, and the group goes on without it
   */
  add(item: Item, admit?: () => void): Promise<Result> {
    if (this.#closed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, admit, weight: this.#weigh(item), resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      this.#enter(() => this.#drain());
    });
  }

  /** Runs `work` between two groups. Rejects without running it if the store failed meanwhile. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(closedError());
    const failuresBefore = this.#storeFailures;
    return this.#enter(async () => {
      if (this.#storeFailures > failuresBefore) throw this.#storeFailure;
      try {
        return await work();
      } catch (error) {
        if (isStoreFailure(error)) this.#failWaiting(error);
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#lane;
  }

  #enter<T>(work: () => Promise<T>): Promise<T> {
    const entered = this.#lane.then(work);
    // Without the result, which would stay in memory until the next group.
    this.#lane = entered.then(
      () => undefined,
      () => undefined,
    );
    return entered;
  }

  /** Commits one group. If more waits it queues itself again, so that `alone` comes in between. */
  async #drain(): Promise<void> {
    await this.#gather();
    const group = this.#take();
    // A failure of the store has rejected all that waited.
    if (group.length === 0) {
      this.#scheduled = false;
      return;
    }
    if (this.#waiting.length > 0) this.#enter(() => this.#drain());
    else this.#scheduled = false;
    const members = group.filter((member) => isAdmitted(member));
    if (members.length > 0) await this.#commitGroup(members);
  }

  #take(): Waiting<Item, Result>[] {
    let sum = 0;
    let count = 0;
    for (const { weight } of this.#waiting) {
      sum += weight;
      if (count > 0 && sum > GROUP_WEIGHT_MAX) break;
      count++;
    }
    const group = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    return group;
  }

  async #commitGroup(group: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.#commit(group.map(({ item }) => item));
      group.forEach(({ resolve }, i) => {
        const result = results[i];
        if (result !== undefined) resolve(result);
      });
    } catch (error) {
      // None of the group was written.
      if (isStoreFailure(error)) {
        for (const { reject } of group) reject(error);
        this.#failWaiting(error);
      } else if (group.length === 1) group[0]?.reject(error);
      // One member has caused it: commit each alone.
      else await this.#commitEach(group);
    }
  }

  async #commitEach(group: readonly Waiting<Item, Result>[]): Promise<void> {
    const failuresBefore = this.#storeFailures;
    for (const member of group) {
      if (this.#storeFailures > failuresBefore) member.reject(this.#storeFailure);
      else await this.#commitGroup([member]);
    }
  }

  /** Rejects all that waits. Later items are tried again. */
  #failWaiting(error: SyncError): void {
    this.#storeFailures++;
    this.#storeFailure = error;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting) reject(error);
  }
}

function isAdmitted<Item, Result>({ admit, reject }: Waiting<Item, Result>): boolean {
  try {
    admit?.();
    return true;
  } catch (error) {
    reject(error);
    return false;
  }
}

function closedError(): SyncError {
  return new SyncError('SHUTTING_DOWN', 'the database is being closed; try again');
}
