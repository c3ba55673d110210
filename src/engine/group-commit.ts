/**
 * Work that waits its turn, taken in groups: while one group is being made durable, the
 * next gathers. Its size is whatever waits, up to a bound, so that one fsync serves many
 * under load and a lone writer doesn't wait for company.
 */

import { SyncError } from '../errors.ts';

/** About so many changes in one store transaction: bounds its memory and a latecomer's wait. */
const GROUP_WEIGHT_MAX = 20_000;

interface Waiting<Item, Result> {
  item: Item;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

export class GroupCommit<Item, Result> {
  readonly #commit: (items: readonly Item[]) => Promise<Result[]>;
  readonly #weigh: (item: Item) => number;
  readonly #gather: () => Promise<void>;
  #waiting: Waiting<Item, Result>[] = [];
  #lane: Promise<unknown> = Promise.resolve();
  #scheduled = false;
  #closed = false;

  /**
   * @param commit makes a group durable and gives one result for each item
   * @param gather resolves once all that has arrived together has been added: without it the first
   *   of several would go alone, and the others wait for its fsync
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

  add(item: Item): Promise<Result> {
    if (this.#closed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      this.#enter(() => this.#drain());
    });
  }

  /** Runs `work` between two groups. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#closed ? Promise.reject(closedError()) : this.#enter(work);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#lane;
  }

  #enter<T>(work: () => Promise<T>): Promise<T> {
    const entered = this.#lane.then(work);
    this.#lane = entered.catch(() => undefined);
    return entered;
  }

  /** One group; another turn in the lane if more waits, so that others come in between. */
  async #drain(): Promise<void> {
    await this.#gather();
    const group = this.#take();
    if (this.#waiting.length > 0) this.#enter(() => this.#drain());
    else this.#scheduled = false;
    await this.#commitGroup(group);
  }

  #take(): Waiting<Item, Result>[] {
    let weight = 0;
    let count = 0;
    for (const { item } of this.#waiting) {
      weight += this.#weigh(item);
      if (count > 0 && weight > GROUP_WEIGHT_MAX) break;
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
      if (group.length === 1) group[0]?.reject(error);
      // Nothing of it was written. One of them may be to blame: let each stand for itself.
      else for (const member of group) await this.#commitGroup([member]);
    }
  }
}

function closedError(): SyncError {
  return new SyncError('SHUTTING_DOWN', 'the database is being closed; try again');
}
