import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { SyncError } from '../../../src/errors/sync-error.ts';
import { createLogger } from '../../../src/logging/logger.ts';
import { StoreWatch } from '../../../src/service/databases/store-watch.ts';

const torn = new SyncError('STORE_UNAVAILABLE', 'the tape is torn');

interface Question {
  resolve(): void;
  reject(error: unknown): void;
}

/** A storage whose answers come when the test gives them. */
function createWatch() {
  const questions: Question[] = [];
  const clock = { nowMs: 1000 };
  const check = () =>
    new Promise<void>((resolve, reject) => {
      questions.push({ resolve, reject });
    });
  const watch = new StoreWatch({
    health: { check, figures: () => ({}) },
    now: () => clock.nowMs,
    logger: createLogger('test:store-watch'),
  });
  /** Asks until that leads to a new question: until the answer before is no longer fresh. */
  async function askAnew() {
    const before = questions.length;
    for (;;) {
      const answer = watch.ask();
      await wait(20);
      const question = questions[before];
      if (question !== undefined) return { answer, question };
    }
  }
  return { watch, questions, clock, askAnew };
}

test('all who ask at once lead to one question, and its answer is good for a moment', async () => {
  const { watch, questions, askAnew } = createWatch();
  const { answer, question } = await askAnew();
  const others = [watch.ask(), watch.ask()];
  question.resolve();
  assert.deepEqual(await Promise.all([answer, ...others]), [undefined, undefined, undefined]);
  assert.equal(await watch.ask(), undefined);
  assert.equal(questions.length, 1);
  const later = await askAnew();
  later.question.reject(torn);
  assert.equal(await later.answer, torn);
  assert.equal(questions.length, 2);
});

test('a storage that hangs is down within a second, and is not asked again until it answers', async () => {
  const { watch, questions, askAnew } = createWatch();
  const { answer, question } = await askAnew();
  assert.equal((await answer)?.message, 'the store does not answer');
  for (let again = 0; again < 10; again++) {
    assert.equal((await watch.ask())?.code, 'STORE_UNAVAILABLE');
  }
  assert.equal(questions.length, 1);
  question.resolve();
  await new Promise(setImmediate);
  assert.equal(await watch.ask(), undefined);
  assert.equal(watch.status?.up, true);
});

test('it tells since when the storage is as it is', async () => {
  const { watch, clock, askAnew } = createWatch();
  assert.deepEqual(watch.status, { up: true, since: 1000, reason: undefined });
  async function answer(settle: (question: Question) => void, nowMs: number) {
    clock.nowMs = nowMs;
    const asked = await askAnew();
    settle(asked.question);
    await asked.answer;
    return watch.status;
  }
  const fine = await answer(({ resolve }) => resolve(), 2000);
  assert.deepEqual(fine, { up: true, since: 1000, reason: undefined });
  const down = await answer(({ reject }) => reject(torn), 3000);
  assert.deepEqual(down, { up: false, since: 3000, reason: 'the tape is torn' });
  const still = await answer(({ reject }) => reject(new Error('secret')), 4000);
  assert.deepEqual(still, { up: false, since: 3000, reason: 'the store cannot be used' });
  const again = await answer(({ resolve }) => resolve(), 5000);
  assert.deepEqual(again, { up: true, since: 5000, reason: undefined });
});
