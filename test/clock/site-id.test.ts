import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeHlc } from '../../src/clock/hlc.ts';
import { hlcSite, isSiteIdText, siteIdToText, textToSiteId } from '../../src/clock/site-id.ts';
import { VECTORS } from '../wire/vectors.ts';

const siteId = fc.uint8Array({ minLength: 16, maxLength: 16 });

test('every site id vector encodes to its text and decodes to its bytes', () => {
  for (const { hex, base64url } of VECTORS.siteIds) {
    const bytes = new Uint8Array(Buffer.from(hex, 'hex'));
    assert.equal(siteIdToText(bytes), base64url);
    assert.deepEqual(textToSiteId(base64url), bytes);
    assert.equal(isSiteIdText(base64url), true);
  }
});

test('a site id survives the trip through its text, and through an HLC', () => {
  fc.assert(
    fc.property(siteId, fc.nat(0xffff), fc.nat(), (bytes, counter, opSeq) => {
      const text = siteIdToText(bytes);
      assert.equal(isSiteIdText(text), true);
      assert.deepEqual(textToSiteId(text), bytes);
      const hlc = encodeHlc({ wallTime: 1n, counter, siteId: bytes, opSeq });
      assert.equal(hlcSite(hlc), text);
    }),
  );
});

test('a view into a larger buffer is encoded as what it shows', () => {
  const large = new Uint8Array(40).fill(0xaa);
  large.fill(7, 10, 26);
  assert.equal(siteIdToText(large.subarray(10, 26)), siteIdToText(new Uint8Array(16).fill(7)));
});

test('each id has one spelling: texts with stray bits, padding or other alphabets are refused', () => {
  const wrong = [
    '',
    'A'.repeat(21),
    'A'.repeat(23),
    `${'A'.repeat(21)}B`,
    `${'A'.repeat(20)}+A`,
    `${'A'.repeat(20)}/A`,
    `${'A'.repeat(22)}==`,
    `${'A'.repeat(22)}\n`,
  ];
  for (const text of wrong) assert.equal(isSiteIdText(text), false, JSON.stringify(text));
});
