import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromBase64, toBase64, toBase64Url } from '../../src/clock/base64.ts';

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.uint8Array({ minLength: 3070, maxLength: 6150, size: 'max' }),
);

test('any bytes are the text that Node makes of them, and come back', () => {
  fc.assert(
    fc.property(bytes, (given) => {
      const buffer = Buffer.from(given);
      assert.equal(toBase64(given), buffer.toString('base64'));
      assert.equal(toBase64Url(given), buffer.toString('base64url'));
      assert.deepEqual(fromBase64(toBase64(given)), given);
      assert.deepEqual(fromBase64(toBase64Url(given)), given);
    }),
  );
});

test('a part of other bytes is a text of its own', () => {
  const all = Uint8Array.from({ length: 64 }, (_, i) => 200 + i);
  assert.equal(toBase64(all.subarray(3, 20)), Buffer.from(all).toString('base64', 3, 20));
});

test('a text that ends in the middle of a byte is read as Node reads it', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[A-Za-z0-9+/_-]{0,12}={0,2}$/), (text) => {
      assert.deepEqual(fromBase64(text), new Uint8Array(Buffer.from(text, 'base64')));
    }),
  );
});
