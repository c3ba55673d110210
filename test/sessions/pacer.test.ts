import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pacer } from '../../src/sessions/pacer.ts';

/** When each of `count` messages is taken, by a peer that always has another one. */
function timesOf(pacer: Pacer, count: number, startMs: number): number[] {
  const times: number[] = [];
  let nowMs = startMs;
  for (let i = 0; i < count; i++) {
    times.push(nowMs);
    nowMs += pacer.take(nowMs);
  }
  return times;
}

test('whoever floods is held to so many a second', () => {
  const times = timesOf(new Pacer(1000), 5001, 1_700_000_000_000);
  assert.equal((times.at(-1) ?? 0) - (times[0] ?? 0), 5000);
});

test('also where that is few', () => {
  const [first = 0, second = 0, third = 0] = timesOf(new Pacer(1), 3, 1_700_000_000_000);
  assert.deepEqual([second - first, third - second], [1000, 1000]);
});

test('whoever does not wait each time waits for all of it in the end', () => {
  const pacer = new Pacer(1000);
  const startMs = 1_700_000_000_000;
  let waitMs = 0;
  for (let i = 0; i < 2000; i++) waitMs = pacer.take(startMs);
  assert.equal(waitMs, 2000);
  assert.ok(pacer.take(startMs + 1000) >= 1000);
  assert.equal(pacer.take(startMs + 2010), 0);
});

test('whoever asks now and then never waits', () => {
  const pacer = new Pacer(1000);
  for (let i = 0; i < 1000; i++) assert.equal(pacer.take(1_700_000_000_000 + 2 * i), 0);
});

test('a clock that is set back holds nobody up for longer than a moment', () => {
  const pacer = new Pacer(1000);
  timesOf(pacer, 10, 1_700_000_000_000);
  const [first, , , , sixth] = timesOf(pacer, 6, 1_600_000_000_000);
  assert.equal(first, 1_600_000_000_000);
  assert.ok((sixth ?? Number.POSITIVE_INFINITY) - 1_600_000_000_000 <= 10);
});
