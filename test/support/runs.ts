/**
 * How many cases a test tries that draws them from a seed: few in `npm test`, many in `npm run proof`,
 * which runs the tests again that import this.
 *
 *     TEST_RUNS   multiplies the few that each test names
 *     FUZZ_SEED   repeats a run of properties; without it each run has a seed of its own
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
const factor = environmentNumber('TEST_RUNS') ?? 1;

/** @param few in `npm test`; less than one where many are still too many of what takes long */
export function runs(few: number): number {
  return Math.max(1, Math.round(few * factor));
}

function budget<T>(few: number): Parameters<T> {
  const limit = { interruptAfterTimeLimit: SHRINK_MS_MAX, markInterruptAsFailure: true };
  return { seed, numRuns: runs(few), ...(factor === 1 ? limit : {}) };
}

function withAdvice(error: unknown): unknown {
  if (error instanceof Error) {
    const again = `FUZZ_SEED=${seed}${factor === 1 ? '' : ` TEST_RUNS=${factor}`}`;
    error.message = `run it again with ${again}\n${error.message}`;
  }
  return error;
}

/** Holds the property against a few cases, or the multiple of them that was asked for. */
export function holds<T>(property: IProperty<T>, few: number): void {
  try {
    fc.assert(property, budget<T>(few));
  } catch (error) {
    throw withAdvice(error);
  }
}

/** @param how beside the budget, such as no shrinking where a case depends on those before it */
export async function holdsAsync<T>(
  property: IAsyncProperty<T>,
  few: number,
  how: Pick<Parameters<T>, 'endOnFailure'> = {},
): Promise<void> {
  try {
    await fc.assert(property, { ...budget<T>(few), ...how });
  } catch (error) {
    throw withAdvice(error);
  }
}
