import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeValue, encodeValue, pkIdentity, valueFault } from '../../src/protocol/values.ts';

const sqlValue = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
  fc.maxSafeInteger(),
  fc.string({ unit: 'binary' }),
  fc.bigInt(),
  fc.uint8Array(),
);
const jsonValue = fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)));

test('SQL values survive the trip over the wire', () => {
  fc.assert(
    fc.property(sqlValue, (value) => {
      const wire = JSON.parse(JSON.stringify(encodeValue(value)));
      assert.equal(valueFault(wire), undefined);
      // `-0` isn't in JSON.
      assert.deepEqual(decodeValue(wire), Object.is(value, -0) ? 0 : value);
    }),
    { numRuns: 500 },
  );
});

test('JSON values are carried untouched', () => {
  const object = jsonValue.filter((value) => !['__bigint', '__bin'].some((k) => Object(value)[k]));
  fc.assert(
    fc.property(object, (value) => {
      assert.equal(valueFault(value), undefined);
      assert.equal(JSON.stringify(encodeValue(decodeValue(value))), JSON.stringify(value));
    }),
  );
});

test('what JSON could not give back is refused', () => {
  const wrong = [
    Number.POSITIVE_INFINITY,
    Number.NaN,
    undefined,
    { __bigint: 5 },
    { __bigint: '' },
    { __bigint: '0x10' },
    { __bigint: '1.5' },
    { __bigint: '9'.repeat(1001) },
    { __bin: 5 },
    { __bin: 'not base64!' },
    { __bin: 'AA-_' },
    [Number.POSITIVE_INFINITY],
    { a: { b: Number.NaN } },
  ];
  for (const value of wrong) assert.ok(valueFault(value), JSON.stringify(value));
});

test('nesting is allowed to a depth that can be written again, and no deeper', () => {
  const nested = (depth: number) => JSON.parse('['.repeat(depth) + ']'.repeat(depth));
  assert.equal(valueFault(nested(128)), undefined);
  assert.match(valueFault(nested(129)) ?? '', /deeper than 128/);
  assert.match(valueFault(nested(100_000)) ?? '', /deeper than 128/);
});

type KeyMember = { kind: string; text: string; wire: unknown };

/** A member of a key, with what the protocol says it is: two are equal iff kind and text are. */
const keyMember: fc.Arbitrary<KeyMember> = fc.oneof(
  fc.constant({ kind: 'null', text: '', wire: null }),
  fc.boolean().map((wire) => ({ kind: 'boolean', text: String(wire), wire })),
  fc
    .oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('', '1', 'null', 'true', 'a","b', '\ud800'),
    )
    .map((wire) => ({ kind: 'string', text: wire, wire })),
  fc
    .oneof(fc.integer({ min: -3, max: 3 }), fc.maxSafeInteger())
    .map((wire) => ({ kind: 'number', text: BigInt(wire).toString(), wire })),
  fc
    .oneof(fc.bigInt({ min: -3n, max: 3n }), fc.bigInt())
    .map((big) => ({ kind: 'number', text: String(big), wire: { __bigint: String(big) } })),
  fc.constantFrom(0.5, -1.5, 1e-7).map((wire) => ({ kind: 'number', text: String(wire), wire })),
  fc.uint8Array({ maxLength: 3 }).map((bytes) => {
    const base64 = Buffer.from(bytes).toString('base64');
    return { kind: 'bytes', text: base64, wire: { __bin: base64 } };
  }),
  fc
    .oneof(
      fc.constantFrom<unknown[]>([], [1], ['1'], [null]),
      fc.array(fc.nat(2), { maxLength: 2 }),
    )
    .map((wire) => ({ kind: 'json', text: JSON.stringify(wire), wire })),
);

test('two keys share an identity exactly when they are the same row', () => {
  const key = fc.array(keyMember, { maxLength: 3 });
  const pair = fc.oneof(
    fc.tuple(key, key),
    // Alike but for one member.
    fc.tuple(key, keyMember, keyMember).map(([rest, a, b]) => [
      [...rest, a],
      [...rest, b],
    ]),
  );
  fc.assert(
    fc.property(pair, ([a = [], b = []]) => {
      const meaning = (members: KeyMember[]) =>
        JSON.stringify(members.map(({ kind, text }) => [kind, text]));
      const [left, right] = [a, b].map((members) => pkIdentity(members.map(({ wire }) => wire)));
      assert.equal(left === right, meaning(a) === meaning(b));
    }),
    { numRuns: 3000 },
  );
});

test('numbers and bigints are one key when they are of one value, however spelled', () => {
  const alike: unknown[][] = [
    [5, JSON.parse('5.0'), { __bigint: '5' }, { __bigint: '05' }, JSON.parse('0.5e1')],
    [0, -0, { __bigint: '0' }, { __bigint: '-0' }],
    [1e21, { __bigint: '1000000000000000000000' }],
    [2 ** 60, { __bigint: String(2n ** 60n) }],
    [{ __bin: 'AQ==' }, { __bin: 'AQ' }],
    [
      { a: 1, b: [2] },
      { b: [2], a: 1 },
    ],
  ];
  const identities = alike.map((keys) => new Set(keys.map((key) => pkIdentity([key]))));
  for (const same of identities) assert.equal(same.size, 1, [...same].join(' ≠ '));
  assert.equal(new Set(identities.flatMap((same) => [...same])).size, alike.length);
});

test('bigints beside a number that rounds to them stay apart', () => {
  const near = [2 ** 53, { __bigint: '9007199254740993' }, { __bigint: '9007199254740992' }];
  const [rounded, above, exact] = near.map((key) => pkIdentity([key]));
  assert.notEqual(rounded, above);
  assert.equal(rounded, exact);
});
