import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Counter, Histogram, Registry } from 'prom-client';
import { Distribution, Tally } from '../../src/metrics/counts.ts';
import { gatheredCounter, gatheredHistogram } from '../../src/metrics/gathered-metrics.ts';

const NAME = { name: 'm', help: 'It is measured.' };

/** Beside, on and beyond every bound. */
const value = fc.oneof(fc.constantFrom(1, 5, 10), fc.double({ min: 0, max: 20, noNaN: true }));

test('what is gathered reads as what the library counts itself: counters', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat()), async (values) => {
      const [gathered, plain] = [new Registry(), new Registry()];
      let count = 0;
      gatheredCounter({ ...NAME, registry: gathered }, () => [[{}, count]]);
      const expected = new Counter({ ...NAME, registers: [plain] });
      for (const by of values) {
        count += by;
        expected.inc(by);
      }
      assert.equal(await gathered.metrics(), await plain.metrics());
      assert.equal(await gathered.metrics(), await plain.metrics(), 'asked once more');
    }),
  );
});

test('what is gathered reads as what the library counts itself: labelled counters', async () => {
  const labelNames = ['kind'] as const;
  const [gathered, plain] = [new Registry(), new Registry()];
  const kinds = new Tally<string>();
  gatheredCounter({ ...NAME, labelNames, registry: gathered }, () =>
    [...kinds].map(([kind, count]) => [{ kind }, count] as const),
  );
  const expected = new Counter({ ...NAME, labelNames, registers: [plain] });
  for (const kind of ['b', 'a', 'b']) {
    kinds.inc(kind);
    expected.inc({ kind });
    assert.equal(await gathered.metrics(), await plain.metrics());
  }
});

test('what is gathered reads as what the library counts itself: histograms', async () => {
  const buckets = [1, 5, 10];
  await fc.assert(
    fc.asyncProperty(fc.array(value), async (values) => {
      const [gathered, plain] = [new Registry(), new Registry()];
      const histogram = new Distribution(buckets);
      gatheredHistogram({ ...NAME, registry: gathered }, histogram);
      const expected = new Histogram({ ...NAME, buckets, registers: [plain] });
      for (const one of values) {
        histogram.observe(one);
        expected.observe(one);
      }
      assert.equal(await gathered.metrics(), await plain.metrics());
    }),
  );
});

test('what is gathered reads as what the library counts itself: labelled histograms', async () => {
  const buckets = [1, 5, 10];
  const label = fc.constantFrom('a', 'b');
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(label, value)), async (values) => {
      const [gathered, plain] = [new Registry(), new Registry()];
      const histogram = new Distribution(buckets);
      gatheredHistogram({ ...NAME, labelName: 'kind', registry: gathered }, histogram);
      const expected = new Histogram({
        ...NAME,
        buckets,
        labelNames: ['kind'],
        registers: [plain],
      });
      for (const [kind, one] of values) {
        histogram.observe(one, histogram.seriesOf(kind));
        expected.observe({ kind }, one);
      }
      assert.equal(await gathered.metrics(), await plain.metrics());
    }),
  );
});
