import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeHlc, maxHlc } from '../../../src/clock/hlc.ts';
import { hlcSite, isOfSameSite } from '../../../src/clock/site-id.ts';
import { NewestBySite } from '../../../src/engine/log/log-writer.ts';

/** Sites that differ in one bit, most often at either end, where they share characters with others. */
const siteId = fc
  .oneof(fc.nat({ max: 7 }), fc.integer({ min: 120, max: 127 }), fc.nat({ max: 127 }))
  .map((bit) => {
    const site = new Uint8Array(16);
    site[bit >> 3] = 0x80 >> (bit & 7);
    return site;
  });
const uint16 = fc.oneof(fc.constantFrom(0, 0xffff), fc.nat({ max: 0xffff }));
const opSeq = fc.oneof(fc.constantFrom(0, 0xffffffff), fc.nat({ max: 0xffffffff }));
const wallTime = fc.bigInt({ min: 0n, max: 3n });
const hlc = fc.record({ wallTime, counter: uint16, siteId, opSeq }).map(encodeHlc);

test('two HLCs are of one site when their sites are the same, whatever else they are', () => {
  fc.assert(
    fc.property(hlc, hlc, (a, b) => {
      assert.equal(isOfSameSite(a, b), hlcSite(a) === hlcSite(b));
    }),
    { numRuns: 5000 },
  );
});

test('the newest of each site is kept, in whatever order they come', () => {
  fc.assert(
    fc.property(fc.array(hlc), (hlcs) => {
      const newest = new NewestBySite();
      const expected = new Map<string, string>();
      for (const one of hlcs) {
        newest.add(one);
        const site = hlcSite(one);
        expected.set(site, maxHlc(one, expected.get(site) ?? one));
        // May be asked at any time.
        const found = newest.sites.map((site) => [site, newest.newestOf(site)] as const);
        assert.deepEqual(new Map(found), expected);
        assert.equal(found.length, expected.size);
      }
    }),
  );
});
