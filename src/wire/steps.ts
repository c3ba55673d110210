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
