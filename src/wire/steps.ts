/**
 * Long work on the input of one client, as a generator: between two steps other work may run. The
 * same generator can run in steps or at once, with the same result.
 */

export type Steps<Result> = Generator<void, Result, void>;

/** Runs all steps at once: only for short work. */
export function runAtOnce<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** @param turn resolves when other work has had its turn */
export async function runInSteps<Result>(
  steps: Steps<Result>,
  turn: () => Promise<unknown>,
): Promise<Result> {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    await turn();
  }
}

/** Resolves when other work has had its turn. */
export function otherWork(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Gives the result at once if the first step is the last one: most work is short. */
export function runByTurns<Result>(steps: Steps<Result>): Result | Promise<Result> {
  const { done, value } = steps.next();
  return done ? value : otherWork().then(() => runInSteps(steps, otherWork));
}

/** So many changes take about ten milliseconds at the slowest. */
const STRETCH = 1000;

/** Tells when a step has been long enough. */
export class Stretch {
  #left = STRETCH;

  /**
   * Reports work that has been done.
   * @param changes the number of changes, or of as much work as takes as long
   * @returns whether it is time for a step to end
   */
  ends(changes = 1): boolean {
    this.#left -= changes;
    if (this.#left > 0) return false;
    this.#left = STRETCH;
    return true;
  }
}

/**
 * `items.forEach`, in steps.
 * @param stretch of a loop around it
 */
export function* forEach<Item>(
  items: readonly Item[],
  work: (item: Item, i: number) => void,
  stretch = new Stretch(),
): Steps<void> {
  for (let i = 0; i < items.length; i++) {
    work(items[i] as Item, i);
    if (stretch.ends()) yield;
  }
}
