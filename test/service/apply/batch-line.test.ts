/** Batches that were to be stored while their sender's credentials are looked at again. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchLine, OutdatedError } from '../../../src/service/apply/batch-line.ts';
import { CLIENT, deferred } from '../../hooks/support.ts';

/** A line whose sender is looked at for as long as `verdict` is open. */
function createLine() {
  const state = { isCurrent: true, verdict: deferred(), refusal: undefined as Error | undefined };
  const demandCurrent = async () => {
    await state.verdict.promise;
    if (state.refusal !== undefined) throw state.refusal;
    state.isCurrent = true;
  };
  const line = new BatchLine(
    { who: () => CLIENT, demandCurrent },
    { isCurrent: () => state.isCurrent, refuseExpired: () => undefined },
  );
  const stored: number[] = [];
  const store = async (number: number) => {
    line.admit(number);
    stored.push(number);
  };
  const apply = (number: number) =>
    store(number).catch((error) => {
      assert.ok(error instanceof OutdatedError);
      return line.again(number, () => store(number));
    });
  return { state, line, stored, apply };
}

test('a batch that is to be stored while its sender is looked at waits, and those after it', async () => {
  const { state, line, stored, apply } = createLine();
  const [first, second, third] = [line.enter(), line.enter(), line.enter()];
  await apply(first);
  state.isCurrent = false;
  const held = apply(second);
  state.isCurrent = true;
  const after = apply(third);
  assert.deepEqual(stored, [first], 'the last is current by now, and comes after one that is held');
  state.verdict.resolve();
  await Promise.all([held, after]);
  assert.deepEqual(stored, [first, second, third]);
  await apply(line.enter());
});

test('one that is refused then is not stored; those after it are tried for themselves', async () => {
  const { state, line, stored, apply } = createLine();
  state.isCurrent = false;
  const refusal = new Error('no good any more');
  state.refusal = refusal;
  const [first, second] = [line.enter(), line.enter()];
  const [one, two] = [apply(first), apply(second)];
  state.verdict.resolve();
  await assert.rejects(one, refusal);
  await assert.rejects(two, refusal);
  assert.deepEqual(stored, []);
});
