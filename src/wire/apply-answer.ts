/** The JSON of the answer to a batch, which may name each of its changes: in pieces of UTF-8. */

import { type ApplyResult, encodeNamed } from '../protocol/types.ts';
import { stringifyLists } from './long-lists.ts';
import { runByTurns } from './steps.ts';

/**
 * @param members what stands beside the result
 * @returns at once, unless it is long
 */
export function applyAnswer(
  result: ApplyResult,
  members: object = {},
): readonly Uint8Array[] | Promise<readonly Uint8Array[]> {
  const { rejected, conflicting, overtaken, beaten, standing, elsewhere } = result;
  const namesSome = rejected ?? conflicting ?? overtaken ?? beaten ?? standing ?? elsewhere;
  // Most name none.
  if (namesSome === undefined) {
    return [Buffer.from(JSON.stringify(Object.assign({}, members, result)))];
  }
  const { applied, skipped, conflicts, transactions } = result;
  const counts = { applied, skipped, conflicts, transactions };
  return runByTurns(stringifyLists(Object.assign({}, members, counts), encodeNamed(result)));
}
