/** The clock of a site. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COUNTER_MAX, compareHlc, decodeHlc, encodeHlc } from '../../../src/clock/hlc.ts';
import { hlcSite, textToSiteId } from '../../../src/clock/site-id.ts';
import { SiteClock, siteOf } from '../src/clock.ts';

const SITE = 'AAECAwQFBgcICQoLDA0ODw';
const NOW = 1_700_000_000_000;

function timeOf(hlc: string): [wallTime: number, counter: number] {
  const { wallTime, counter } = decodeHlc(hlc);
  return [Number(wallTime), counter];
}

const hlcAt = (wallTime: number, counter: number) =>
  encodeHlc({ wallTime: BigInt(wallTime), counter, siteId: new Uint8Array(16), opSeq: 7 });

test('what it issues rises within a millisecond, and follows the wall clock', () => {
  let now = NOW;
  const clock = new SiteClock(SITE, () => now);
  assert.deepEqual(timeOf(clock.next()(0)), [NOW, 0]);
  assert.deepEqual(timeOf(clock.next()(0)), [NOW, 1]);
  now--;
  assert.deepEqual(timeOf(clock.next()(0)), [NOW, 2]);
  now += 2;
  assert.deepEqual(timeOf(clock.next()(0)), [NOW + 1, 0]);
});

test('it goes on behind what it has seen, also where no greater counter is left', () => {
  const clock = new SiteClock(SITE, () => NOW);
  clock.observe(hlcAt(NOW + 5, 3));
  clock.observe(hlcAt(NOW + 4, 9));
  assert.deepEqual(timeOf(clock.next()(0)), [NOW + 5, 4]);
  const last = hlcAt(NOW + 5, COUNTER_MAX);
  clock.observe(last);
  const next = clock.next()(0);
  assert.deepEqual(timeOf(next), [NOW + 6, 0]);
  assert.ok(compareHlc(next, last) > 0);
});

test('it may go back when it is corrected', () => {
  const clock = new SiteClock(SITE, () => NOW);
  clock.next();
  clock.correct(NOW - 60_000);
  assert.equal(clock.offsetMs, -60_000);
  assert.deepEqual(timeOf(clock.next()(0)), [NOW - 60_000, 0]);
});

test('what it issues is its site’s', () => {
  const hlc = new SiteClock(SITE, () => NOW).next()(3);
  assert.deepEqual(decodeHlc(hlc).siteId, textToSiteId(SITE));
  assert.deepEqual([siteOf(hlc), hlcSite(hlc)], [SITE, SITE]);
});
