import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedReport } from '../../src/metrics/shared-report.ts';

function counting() {
  let made = 0;
  let nowMs = 0;
  const report = new SharedReport(
    async () => String(++made),
    () => nowMs,
  );
  return {
    pass(ms: number) {
      nowMs += ms;
    },
    ask: async () => Number(await report.get()),
    askAtOnce: async (times: number) =>
      (await Promise.all(Array.from({ length: times }, () => report.get()))).map(Number),
  };
}

test('who asks now and then gets a new one each time', async () => {
  const { ask, pass } = counting();
  for (let i = 1; i <= 50; i++) {
    assert.equal(await ask(), i);
    pass(100);
  }
});

test('whoever asks while one is being made gets that one', async () => {
  const { askAtOnce } = counting();
  assert.deepEqual(await askAtOnce(3), [1, 1, 1]);
});

test('asked without end, it makes no more than ten a second, and gives the last one again', async () => {
  const { ask, pass } = counting();
  for (let i = 0; i < 1000; i++) await ask();
  const before = await ask();
  assert.ok(before <= 11, `${before} were made`);
  for (let i = 0; i < 1000; i++) {
    pass(1);
    await ask();
  }
  const made = (await ask()) - before;
  assert.ok(made >= 9 && made <= 11, `${made} were made in a second`);
});

test('one that could not be made is told to who asked, and made again for the next', async () => {
  let fails = true;
  const report = new SharedReport(async () => {
    if (fails) throw new Error('not now');
    return 'made';
  });
  await assert.rejects(report.get(), /not now/);
  fails = false;
  assert.equal(String(await report.get()), 'made');
});
