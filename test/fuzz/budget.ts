/**
 * How much to fuzz, and from which seed, for every property alike:
 *
 *     FUZZ_RUNS   multiplies the small budget that each property has in `npm test`
 *     FUZZ_SEED   repeats a run; without it each run has a seed of its own
 *
 * A property that fails prints its seed, the path to the smallest case it found, and the case.
 */

import fc, { type IAsyncProperty, type IProperty, type Parameters } from 'fast-check';

/** Looking for a smaller case ends here, so that what was found is told in any case. */
const SHRINK_MS_MAX = 90_000;

function environmentNumber(name: string): number | undefined {
  const text = process.env[name];
  if (text === undefined || text === '') return undefined;
  const number = Number(text);
  if (!Number.isSafeInteger(number)) throw new TypeError(`${name} must be an integer: ${text}`);
  return number;
}

const seed = environmentNumber('FUZZ_SEED') ?? Date.now() % 2 ** 31;
const factor = environmentNumber('FUZZ_RUNS') ?? 1;

/** @param runs in `npm test` */
export function budget<T>(runs: number): Parameters<T> {
  const limit = { interruptAfterTimeLimit: SHRINK_MS_MAX, markInterruptAsFailure: true };
  return { seed, numRuns: Math.max(1, runs * factor), ...(factor === 1 ? limit : {}) };
}

function withAdvice(error: unknown): unknown {
  if (error instanceof Error) {
    const again = `FUZZ_SEED=${seed}${factor === 1 ? '' : ` FUZZ_RUNS=${factor}`}`;
    error.message = `run it again with ${again}\n${error.message}`;
  }
  return error;
}

/** Holds the property against `runs` cases, or the multiple of them that was asked for. */
export function holds<T>(property: IProperty<T>, runs: number): void {
  try {
    fc.assert(property, budget<T>(runs));
  } catch (error) {
    throw withAdvice(error);
  }
}

/** @param how beside the budget, such as no shrinking where a case depends on those before it */
export async function holdsAsync<T>(
  property: IAsyncProperty<T>,
  runs: number,
  how: Pick<Parameters<T>, 'endOnFailure'> = {},
): Promise<void> {
  try {
    await fc.assert(property, { ...budget<T>(runs), ...how });
  } catch (error) {
    throw withAdvice(error);
  }
}
