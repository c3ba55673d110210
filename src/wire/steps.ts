/**
 * Work on what a client sent that is too much for one go: between two of its steps others may have
 * their turn. Written as a generator it can be done in steps or at once, and says the same either way.
 */

export type Steps<Result> = Generator<void, Result, void>;

/** At once, which is for what is known to be little. */
export function runAtOnce<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** @param turn resolves when others have had their turn */
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
