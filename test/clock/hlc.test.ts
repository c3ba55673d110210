import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  bytesToHlc,
  COUNTER_MAX,
  compareHlc,
  decodeHlc,
  encodeHlc,
  HLC_BYTES,
  HLC_MAX,
  HLC_MIN,
  type Hlc,
  hlcAtTime,
  hlcCounter,
  hlcToBytes,
  hlcWallTimeMs,
  isHlcText,
  maxHlc,
  parseHlcParameter,
} from '../../src/clock/hlc.ts';
import { hlcSite } from '../../src/clock/site-id.ts';
import { VECTORS } from '../wire/vectors.ts';

const UINT64_MAX = 2n ** 64n - 1n;

const hlcBytes = fc.uint8Array({ minLength: HLC_BYTES, maxLength: HLC_BYTES });
const hlc: fc.Arbitrary<Hlc> = fc.record(
  {
    wallTime: fc.bigInt({ min: 0n, max: UINT64_MAX }),
    counter: fc.integer({ min: 0, max: 0xffff }),
    siteId: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    opSeq: fc.integer({ min: 0, max: 0xffffffff }),
  },
  { noNullPrototype: true },
);

function compareFields(a: Hlc, b: Hlc): number {
  if (a.wallTime !== b.wallTime) return a.wallTime < b.wallTime ? -1 : 1;
  if (a.counter !== b.counter) return a.counter - b.counter;
  return Buffer.compare(a.siteId, b.siteId) || a.opSeq - b.opSeq;
}

test('every HLC vector encodes to its bytes and its text, and decodes to its fields', () => {
  for (const vector of VECTORS.hlcAscending) {
    const { wallTime, counter, siteIdHex, opSeq, bytesHex, base64 } = vector;
    const fields: Hlc = {
      wallTime: BigInt(wallTime),
      counter,
      siteId: new Uint8Array(Buffer.from(siteIdHex, 'hex')),
      opSeq,
    };
    assert.equal(encodeHlc(fields), base64);
    assert.deepEqual(decodeHlc(base64), fields);
    assert.equal(Buffer.from(hlcToBytes(base64)).toString('hex'), bytesHex);
    assert.equal(bytesToHlc(Buffer.from(bytesHex, 'hex')), base64);
    assert.equal(isHlcText(base64), true);
    assert.equal(Buffer.from(hlcSite(base64), 'base64url').toString('hex'), siteIdHex);
  }
});

test('the HLC vectors stand in ascending order', () => {
  const texts = VECTORS.hlcAscending.map(({ base64 }) => base64);
  for (const [i, a] of texts.entries()) {
    for (const [j, b] of texts.entries()) {
      assert.equal(Math.sign(compareHlc(a, b)), Math.sign(i - j), `${i} against ${j}`);
    }
    assert.ok(compareHlc(HLC_MIN, a) <= 0);
    assert.ok(compareHlc(a, HLC_MAX) <= 0);
  }
});

test('an HLC survives the trip through its text', () => {
  fc.assert(
    fc.property(hlc, (fields) => {
      const text = encodeHlc(fields);
      assert.equal(text.length, 40);
      assert.deepEqual(decodeHlc(text), fields);
    }),
  );
  fc.assert(
    fc.property(hlcBytes, (bytes) => {
      assert.deepEqual(new Uint8Array(hlcToBytes(bytesToHlc(bytes))), bytes);
    }),
  );
});

test('texts order as their fields and as their bytes do', () => {
  /** A pair that is alike up to some byte, so that every field gets to decide. */
  const pair = fc
    .tuple(hlcBytes, hlcBytes, fc.integer({ min: 0, max: HLC_BYTES }))
    .map(([a, b, same]) => [a, Uint8Array.from([...a.slice(0, same), ...b.slice(same)])] as const);
  fc.assert(
    fc.property(pair, ([a, b]) => {
      const [left, right] = [bytesToHlc(a), bytesToHlc(b)];
      const expected = Math.sign(Buffer.compare(a, b));
      assert.equal(Math.sign(compareHlc(left, right)), expected);
      assert.equal(Math.sign(compareFields(decodeHlc(left), decodeHlc(right))), expected);
      assert.equal(maxHlc(left, right), expected >= 0 ? left : right);
    }),
    { numRuns: 500 },
  );
});

test('a wall time is told in milliseconds', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), hlc, (wallTimeMs, fields) => {
      assert.equal(
        hlcWallTimeMs(encodeHlc({ ...fields, wallTime: BigInt(wallTimeMs) })),
        wallTimeMs,
      );
    }),
  );
});

test('an HLC is put to another time, its site and opSeq kept', () => {
  const counter = fc.integer({ min: 0, max: COUNTER_MAX });
  fc.assert(
    fc.property(hlc, fc.maxSafeNat(), counter, (fields, wallTimeMs, counter) => {
      const moved = hlcAtTime(encodeHlc(fields), wallTimeMs, counter);
      assert.equal(moved, encodeHlc({ ...fields, wallTime: BigInt(wallTimeMs), counter }));
      assert.equal(hlcCounter(moved), counter);
    }),
    { numRuns: 1000 },
  );
});

test('an HLC parameter is understood however a URL has treated it', () => {
  fc.assert(
    fc.property(hlcBytes, (bytes) => {
      const text = bytesToHlc(bytes);
      assert.equal(parseHlcParameter(text), text, 'percent-decoded');
      assert.equal(parseHlcParameter(Buffer.from(bytes).toString('base64url')), text, 'base64url');
      assert.equal(parseHlcParameter(text.replaceAll('+', ' ')), text, '+ as a space');
      const throughQuery = new URLSearchParams(`sinceHLC=${text}`).get('sinceHLC') ?? '';
      assert.equal(parseHlcParameter(throughQuery), text, 'not encoded at all');
    }),
  );
});

test('what is not an HLC is not taken for one', () => {
  const [valid = ''] = VECTORS.hlcAscending.map(({ base64 }) => base64).slice(-1);
  const wrong = [
    '',
    valid.slice(1),
    `${valid}A`,
    `${valid.slice(0, 39)}=`,
    `${valid.slice(0, 39)}!`,
  ];
  for (const text of [...wrong, `${valid}\n`, ` ${valid}`, `${valid.slice(0, 39)}é`]) {
    assert.equal(parseHlcParameter(text), undefined, JSON.stringify(text));
    assert.equal(isHlcText(text), false, JSON.stringify(text));
  }
  for (const value of [undefined, null, 7, {}, [valid]]) assert.equal(isHlcText(value), false);
});
