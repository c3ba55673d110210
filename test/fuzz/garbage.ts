/** What nobody should send: odd values, and good messages with something wrong in them. */

import fc from 'fast-check';
import type { CLIENT_MESSAGE_SCHEMAS } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { VECTORS } from '../wire/vectors.ts';

const NAMES = ['__proto__', 'constructor', 'toString', '__bigint', '__bin', 'type', '', '\ud800'];

const oddText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(...NAMES, '\u0000', '\u2028', ' ', '1e999', '../..', '%', '{}'),
  fc.nat(3).map((size) => 'x'.repeat(10 ** (size + 2))),
  fc.constantFrom(...VECTORS.hlcAscending.map(({ base64 }) => base64)),
  fc.string({ minLength: 40, maxLength: 40, unit: fc.constantFrom(...'AZaz09+/=-_') }),
);

const oddNumber = fc.oneof(
  fc.double(),
  fc.constantFrom(-0, 1e308, 5e-324, 2 ** 53, -(2 ** 63), Number.MAX_SAFE_INTEGER, -1, 0.5),
);

/** Stands for a value that is nested too deep for JSON.stringify; `toText` makes it one. */
const nested = fc
  .tuple(fc.constantFrom('arrays', 'objects'), fc.constantFrom(1, 127, 128, 129, 1000, 20_000))
  .map(([kind, depth]) => `${kind} nested ${depth}`);

/** Text as it arrives: UTF-8 has no lone surrogates. */
export function wellFormed(text: string): string {
  return Buffer.from(text).toString();
}

function nestedText(_: string, kind: string, depth: string): string {
  const [open, close] = kind === 'arrays' ? ['[', ']'] : ['{"a":', '}'];
  return `${open.repeat(Number(depth))}0${close.repeat(Number(depth))}`;
}

/** A value of this module's as the JSON text that a client would send. */
export function toText(value: unknown): string {
  return JSON.stringify(value).replace(/"(arrays|objects) nested (\d+)"/g, nestedText);
}

const tagged = fc
  .tuple(fc.constantFrom('__bigint', '__bin'), fc.oneof(oddText, oddNumber, fc.constant(null)))
  .map(([tag, value]) => ({ [tag]: value }));

const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(null, true, false),
    oddNumber,
    oddText,
    tagged,
    fc.array(tie('json'), { maxLength: 4 }),
    fc
      .array(fc.tuple(fc.oneof(fc.constantFrom(...NAMES), fc.string()), tie('json')), {
        maxLength: 4,
      })
      .map((pairs) => objectOf(pairs)),
  ),
}));

/** With own keys only, `__proto__` among them, as JSON.parse would make it. */
function objectOf(pairs: [string, unknown][]): object {
  const members = pairs.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  return JSON.parse(`{${members.join(',')}}`);
}

/** Any JSON value, the odd ones often; to be sent by `toText`. */
export const anyJson: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 8, arbitrary: json },
  { weight: 1, arbitrary: nested },
);

/** Text that is mostly not JSON. */
export const anyText: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 100 }),
  anyJson.map((value) => toText(value).slice(0, -1)),
  fc.constantFrom('[', '{', '"', '[['.repeat(50_000), '{"a":'.repeat(5000), '\ufeff{}', 'NaN'),
);

const device = new Device(1);
const validChangeSets = [
  ...VECTORS.changeSets.map((changeSet) => ({ ...changeSet })),
  device.write({ pk: [1], set: { a: 1, b: 'x' } }, { pk: [2], delete: true }),
  device.migrate('rename_table', 'u', { fromTable: 't' }),
];

const VALID_MESSAGES: Record<keyof typeof CLIENT_MESSAGE_SCHEMAS, object> = {
  handshake: { type: 'handshake', siteId: device.siteId, databaseId: 'db', token: 'x' },
  get_changes: { type: 'get_changes', sinceHLC: device.hlc(1), requestId: '1' },
  apply_changes: { type: 'apply_changes', changes: validChangeSets, requestId: '1' },
  get_snapshot: { type: 'get_snapshot', requestId: '1' },
  resume_snapshot: { type: 'resume_snapshot', checkpoint: VECTORS.checkpoint },
  authenticate: { type: 'authenticate', token: 'x', requestId: '1' },
  ping: { type: 'ping' },
};

interface Mutation {
  /** Which of the places in the message, by number. */
  at: number;
  how: 'replace' | 'remove' | 'repeat' | 'rename';
  value: unknown;
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.nat(),
  how: fc.constantFrom('replace', 'replace', 'remove', 'repeat', 'rename'),
  value: anyJson,
});

type Place = { holder: object; key: string };

function placesIn(value: unknown): Place[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.keys(value).flatMap((key) => [
    { holder: value, key },
    ...placesIn(ownValue(value, key)),
  ]);
}

/** Of `__proto__` too, where it is a member like any other. */
function ownValue(holder: object, key: string): unknown {
  return Object.getOwnPropertyDescriptor(holder, key)?.value;
}

function define(holder: object, key: string, value: unknown): void {
  Object.defineProperty(holder, key, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  });
}

function mutate(message: unknown, { at, how, value }: Mutation): void {
  const places = placesIn(message);
  const place = places[at % Math.max(1, places.length)];
  if (place === undefined) return;
  const { holder, key } = place;
  if (how === 'replace') define(holder, key, value);
  else if (how === 'repeat' && Array.isArray(holder)) holder.push(...holder);
  else if (Array.isArray(holder)) holder.splice(Number(key), 1);
  else {
    const old = ownValue(holder, key);
    Reflect.deleteProperty(holder, key);
    if (how === 'rename') define(holder, NAMES[at % NAMES.length] ?? '', old);
  }
}

function mutated<T>(valid: fc.Arbitrary<T>): fc.Arbitrary<unknown> {
  const some = fc.array(mutation, { minLength: 0, maxLength: 3 });
  return fc.tuple(valid, some).map(([value, mutations]) => {
    const copy: unknown = JSON.parse(JSON.stringify(value));
    for (const each of mutations) mutate(copy, each);
    return copy;
  });
}

/** A good message of a client with at most three things wrong. */
export const mutatedMessage: fc.Arbitrary<unknown> = mutated(
  fc.constantFrom(...Object.values(VALID_MESSAGES)),
);

export const mutatedChangeSets: fc.Arbitrary<unknown> = mutated(
  fc.subarray(validChangeSets, { minLength: 1 }),
);

export const mutatedCheckpoint: fc.Arbitrary<unknown> = mutated(
  fc.constantFrom<object>(VECTORS.checkpoint, { checkpoint: VECTORS.checkpoint }),
);
