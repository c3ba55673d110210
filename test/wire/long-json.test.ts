/** Long texts: what is in them is the same as if they were parsed at once, and faults are told before they cost. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SyncError } from '../../src/errors/sync-error.ts';
import { Device } from '../../src/testing/device.ts';
import { decodeInSteps, RefusedRequest } from '../../src/wire/decode.ts';
import { decodeChangeSets } from '../../src/wire/decode-changes.ts';
import { findRounded } from '../../src/wire/exact-integers.ts';
import { PIECE_BYTES } from '../../src/wire/json-outline.ts';
import { readJson, wholeOf } from '../../src/wire/long-json.ts';
import { runAtOnce, runInSteps } from '../../src/wire/steps.ts';
import { anyJson, anyText, toText } from '../fuzz/garbage.ts';
import { holds } from '../support/runs.ts';
import { decodeApplyBody, decodeCheckpointBody, decodeClientMessage } from './decode-at-once.ts';
import { VECTORS } from './vectors.ts';

const LIMITS = {
  changesPerBatch: 100_000,
  valuesPerMessage: 4_000_000,
  valueBytes: 4 * 1024 * 1024,
};
const INFINITE = Number.POSITIVE_INFINITY;
const device = new Device(1);

/** `undefined` for what is no JSON. */
function parsedAtOnce(text: string): { value: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    // See `exact-integers.test.ts`.
    return findRounded(text) === undefined ? { value } : undefined;
  } catch {
    return undefined;
  }
}

function parsedInPieces(text: string, pieceBytes: number): { value: unknown } | undefined {
  try {
    const json = runAtOnce(
      readJson(text, { valuesPerMessage: INFINITE, valueBytes: INFINITE, pieceBytes }),
    );
    return { value: runAtOnce(wholeOf(json, '')) };
  } catch (error) {
    assert.ok(error instanceof SyncError, String(error));
    assert.equal(error.code, 'MESSAGE_ERROR');
    return undefined;
  }
}

/** Deeper than a long text may be. */
const isDeep = (text: string) => text.split('[').length + text.split('{').length > 1000;

/** JSON, or nearly: a character is taken out or put in. */
const nearlyJson = fc
  .tuple(
    anyJson.map((value) => JSON.stringify(value, null, 1) ?? 'null'),
    fc.nat(),
    fc.constantFrom('', ',', '[', ']', '{', '}', '"', ':', '\\', ' ', '1'),
    fc.nat({ max: 1 }),
  )
  .map(([text, at, put, taken]) => {
    const place = at % (text.length + 1);
    return text.slice(0, place) + put + text.slice(place + taken);
  });

test('in pieces of any size a text is what it is in one, and what is no JSON is none', () => {
  const text = fc.oneof(anyText, anyJson.map(toText), nearlyJson);
  holds(
    fc.property(text, fc.integer({ min: 1, max: 40 }), (characters, pieceBytes) => {
      // As it arrives: half a surrogate pair is no UTF-8.
      const it = Buffer.from(characters).toString();
      if (isDeep(it)) return;
      assert.deepEqual(parsedInPieces(it, pieceBytes), parsedAtOnce(it));
    }),
    600,
  );
});

test('what only the end of a piece could hide is still no JSON', () => {
  for (const text of [
    '[1,2,3,]',
    '[,1,2,3]',
    '[1,,2,3]',
    '[[1,2,3],]',
    '[,[1,2,3]]',
    '[[1,2,3][1,2,3]]',
    '[1[2,3,4]]',
    '[[1,2,3]4]',
    '{"a":[1,2,3],}',
    '{"a":1[1,2,3]}',
    '{[1,2,3]}',
    '{"a"[1,2,3]}',
    '[1,2,3}',
    '[1,2,3]]',
    '1[1,2,3]',
    '[1,2,3]1',
    '["1,2,3]',
    '["1,2,3\\"]',
    '[1,2,[3]',
  ]) {
    for (const pieceBytes of [1, 2, 3, 5]) {
      assert.equal(parsedInPieces(text, pieceBytes), undefined, `${text} in ${pieceBytes}`);
    }
  }
});

const changesOf = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ pk: [i], set: { a: 1 } }));

/** Many sets, one large set, and values that are longer than a piece, whatever comes first. */
const LONG = [
  changesOf(5000).map((write) => device.write(write)),
  [device.write(), device.write(...changesOf(5000)), device.write({ pk: [1], set: { b: 2 } })],
  [
    device.write(
      { pk: [1], set: { text: 'é"\\'.repeat(PIECE_BYTES / 4) } },
      { pk: ['x'.repeat(60_000)], set: { a: Array.from({ length: 200_000 }, (_, i) => i) } },
      { pk: [2], set: { a: { ['__proto__']: 'x'.repeat(PIECE_BYTES), b: [[1]] } } },
    ),
    device.migrate('create_table', 't', { ddl: 'x'.repeat(PIECE_BYTES + 1) }),
  ],
];

test('a long batch is decoded to what it says, over both transports', async () => {
  for (const changes of LONG) {
    const body = JSON.stringify(changes);
    assert.ok(body.length > PIECE_BYTES);
    assert.deepEqual(decodeApplyBody(body, LIMITS), changes);
    assert.deepEqual(decodeApplyBody(JSON.stringify({ changes }), LIMITS), changes);
    const message = { requestId: '1', changes, unknown: changes, type: 'apply_changes' };
    const bytes = Buffer.from(JSON.stringify(message, null, 1));
    const expected = { type: 'apply_changes', requestId: '1', changes };
    assert.deepEqual(decodeClientMessage(bytes, LIMITS), expected);
    let turns = 0;
    const turn = async () => turns++;
    assert.deepEqual(await runInSteps(decodeInSteps(bytes, LIMITS), turn), expected);
    assert.ok(turns >= bytes.length / (4 * PIECE_BYTES), `others had ${turns} turns`);
  }
});

test('of several members of one name the last one counts, in a long text too', () => {
  const [long = []] = LONG;
  const [short] = [[device.write()]];
  for (const [first, last] of [
    [long, short],
    [short, long],
  ]) {
    const text = `{"type":"apply_changes","changes":${JSON.stringify(first)},"changes":${JSON.stringify(last)}}`;
    assert.deepEqual(Reflect.get(decodeClientMessage(text, LIMITS), 'changes'), last);
  }
});

test('a long checkpoint is decoded, and the first fault in it is told', () => {
  const completedTables = Array.from({ length: 50_000 }, (_, i) => `main.table_${i}`);
  const checkpoint = { ...VECTORS.checkpoint, completedTables };
  const message = { type: 'resume_snapshot', checkpoint };
  assert.deepEqual(decodeClientMessage(JSON.stringify(message), LIMITS), message);
  assert.deepEqual(decodeCheckpointBody(JSON.stringify(checkpoint), LIMITS), checkpoint);
  assert.deepEqual(decodeCheckpointBody(JSON.stringify({ checkpoint }), LIMITS), checkpoint);
  Object.assign(completedTables, { 40000: 7 });
  const refused = { message: /^checkpoint\.completedTables\[40000\]: must be string/ };
  assert.throws(() => decodeClientMessage(JSON.stringify(message), LIMITS), refused);
});

/** The members of a list that is long, the last of which is no JSON. */
const UNPARSED = `${'{"padding":"0123456789"},'.repeat(50_000)}nonsense`;
const envelope = (fields: object, list: string) =>
  `{"type":"apply_changes","requestId":"7","changes":[${JSON.stringify({
    ...device.write(),
    ...fields,
    changes: ['@'],
  }).replace('"@"', list)}]}`;

/** Each fault stands before something that is no JSON: so it is known without parsing that. */
const EARLY: [told: RegExp, text: string][] = [
  [
    /^changes\[0\]: must have required properties/,
    `{"changes":[${UNPARSED}],"type":"apply_changes","requestId":"7"}`,
  ],
  [/^changes\[0\]\.changes\[0\]\.type: must be "column" or "delete"$/, envelope({}, UNPARSED)],
  [/^changes\[0\]\.siteId: /, envelope({ siteId: 'x' }, UNPARSED)],
  [
    /^changes\[0\]: more than limits\.changesPerBatch \(100000\)/,
    envelope({}, `${'7,'.repeat(PIECE_BYTES)}nonsense`),
  ],
  [/^unknown message type "x"/, `{"type":"x","requestId":"7","changes":[${UNPARSED}]}`],
  [
    /^more than limits\.valuesPerMessage \(4000000\) values/,
    `{"type":"apply_changes","requestId":"7","changes":[${'{},'.repeat(2_000_000)}nonsense]}`,
  ],
  [
    /nested deeper than 1000 levels/,
    `{"type":"apply_changes","requestId":"7","changes":${'['.repeat(PIECE_BYTES)}`,
  ],
];

test('the first fault ends it: envelopes and counts come before members, and nothing is parsed in vain', () => {
  for (const [told, text] of EARLY) {
    assert.throws(
      () => decodeClientMessage(text, LIMITS),
      (error) => {
        assert.ok(error instanceof SyncError);
        assert.match(error.message, told);
        assert.equal(error instanceof RefusedRequest ? error.requestId : undefined, '7');
        return true;
      },
    );
  }
});

test('what is wrong is told without a look at all that is right beside it', () => {
  // To find fault with something takes a thousand times as long as to find it right.
  const looked: string[] = [];
  const watched = (set: object) =>
    new Proxy(set, {
      get: (it, name) => {
        looked.push(String(name));
        return Reflect.get(it, name);
      },
    });
  const writes = device.write(...changesOf(20)).changes.map(watched);
  const decoding = () =>
    decodeChangeSets([{ ...device.write(), siteId: 'x', changes: writes }], 100, '');
  assert.throws(decoding, { message: /^\[0\]\.siteId: / });
  assert.deepEqual(looked, []);
});

test('a value with more members than can be parsed at once is refused with its place', () => {
  const value = Array.from({ length: 250_002 }, () => 1);
  const text = JSON.stringify([device.write({ pk: [1], set: { a: 1, b: value } })]);
  const message = '[0].changes[1].value: has more than 250000 members';
  assert.throws(() => decodeApplyBody(text, LIMITS), { code: 'MESSAGE_ERROR', message });
});

test('objects in a value may have fewer members, for each has a name to be kept', () => {
  const named = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`name ${i}`, 1]));
  const batch = (...values: unknown[]) =>
    JSON.stringify([device.write({ pk: [1], set: { a: 1, b: values } })]);
  assert.equal(decodeApplyBody(batch(named(49_999)), LIMITS).length, 1);
  const message = '[0].changes[1].value: has more than 50000 members of objects';
  for (const values of [[named(50_001)], [named(30_000), named(30_000)]]) {
    assert.throws(() => decodeApplyBody(batch(...values), LIMITS), {
      code: 'MESSAGE_ERROR',
      message,
    });
  }
});

test('whatever is longer than a value may be is refused unparsed, and its request told', () => {
  const limits = { ...LIMITS, valueBytes: 2 * PIECE_BYTES };
  const long = 'x'.repeat(limits.valueBytes + 1);
  const change = (set: Record<string, unknown>) => device.write({ pk: [1], set });
  const digits = `{"type":"apply_changes","requestId":"7","changes":[${JSON.stringify(change({ a: 7 })).replace('"value":7', `"value":0.${'7'.repeat(long.length)}`)}]}`;
  const message = (...changes: unknown[]) =>
    JSON.stringify({ type: 'apply_changes', requestId: '7', changes });
  for (const text of [
    message(change({ a: long })),
    message(change({ a: { __bin: 'QUFB'.repeat(long.length / 4) } })),
    message(change({ a: { [long]: 1 } })),
    message(change({ a: { [long]: [...long] } })),
    message(change({ a: Array.from({ length: 9 }, () => long.slice(PIECE_BYTES)) })),
    message(device.write({ pk: [long], set: { a: 1 } })),
    message(device.migrate('create_table', 't', { ddl: long })),
    message({ ...device.write(), transactionId: long }),
    digits,
    digits.replace('0.7', ' '.repeat(long.length)),
  ]) {
    assert.throws(
      () => decodeClientMessage(text, limits),
      (error) => {
        assert.ok(error instanceof RefusedRequest, String(error));
        assert.deepEqual(
          [error.code, error.limit, error.requestId],
          ['TOO_LARGE', 'limits.valueBytes', '7'],
        );
        assert.match(
          error.message,
          /: more than limits\.valueBytes \(524288\) bytes in one value$/,
        );
        return true;
      },
    );
  }
  // What is no object at all is not parsed to say so.
  for (const text of [JSON.stringify(long), `7${' '.repeat(limits.valueBytes)}`]) {
    assert.throws(() => decodeClientMessage(text, limits), { code: 'TOO_LARGE' });
  }
  assert.equal(decodeApplyBody(JSON.stringify([change({ a: long.slice(20) })]), limits).length, 1);
});

test('what a row was before may be longer than a value, none of its values may', () => {
  const limits = { ...LIMITS, valueBytes: 2 * PIECE_BYTES };
  const longest = 'x'.repeat(limits.valueBytes - 2);
  const deletion = (priorRow: unknown[]) => {
    const set = device.write({ pk: [1], delete: true });
    return { ...set, changes: set.changes.map((change) => ({ ...change, priorRow })) };
  };
  const set = deletion([longest, 7, longest, null, longest.slice(9)]);
  assert.deepEqual(decodeApplyBody(JSON.stringify([set]), limits), [set]);
  assert.throws(() => decodeApplyBody(JSON.stringify([deletion([`${longest}x`, 7])]), limits), {
    code: 'TOO_LARGE',
    message: /more than limits\.valueBytes \(524288\) bytes in one value/,
  });
  const many = deletion(Array.from({ length: 250_002 }, () => 7));
  assert.throws(() => decodeApplyBody(JSON.stringify([many]), limits), {
    code: 'MESSAGE_ERROR',
    message: '[0].changes[0].priorRow: has more than 250000 members',
  });
});

test('change sets without changes count, too', () => {
  const limits = { ...LIMITS, changesPerBatch: 3 };
  const sets = [1, 2, 3, 4].map(() => device.write());
  assert.equal(decodeApplyBody(JSON.stringify(sets.slice(1)), limits).length, 3);
  assert.throws(() => decodeApplyBody(JSON.stringify(sets), limits), { code: 'TOO_LARGE' });
});
