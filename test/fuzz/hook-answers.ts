/** What hooks should not answer, and ways to answer what they should that are no less odd. */

import fc from 'fast-check';
import { SyncError } from '../../src/errors/sync-error.ts';

/** @param value what the hook was given */
export type HookAnswer = (value: unknown) => unknown;

export interface ScriptedAnswer {
  /** @param right makes the answer that is right */
  answer(value: unknown, right: () => unknown): unknown;
  /** Whether it says what is right, however oddly. */
  isRight: boolean;
}

const BOOM = 'nobody is to see this';
function fail(): never {
  throw new Error(BOOM);
}

/** Whatever is done with it, it throws. */
function hostile(): object {
  const trap = { get: fail, getPrototypeOf: fail, has: fail, ownKeys: fail };
  return new Proxy({}, { ...trap, getOwnPropertyDescriptor: fail });
}

/** Every one of these has to be refused, whatever was asked. */
const WRONG: [name: string, answer: ScriptedAnswer['answer']][] = [
  ['throws', fail],
  [
    'throws what cannot be looked at',
    () => {
      throw hostile();
    },
  ],
  ['rejects with what cannot be looked at', () => Promise.reject(hostile())],
  ['answers what cannot be looked at', hostile],
  ['rejects with nothing', () => Promise.reject(undefined)],
  [
    'throws a SyncError of no code',
    () => {
      throw Object.assign(new SyncError('OVERLOADED', 'x'), { code: 'NO_SUCH_CODE' });
    },
  ],
  [
    'throws a SyncError that throws',
    () => {
      throw Object.defineProperty(new SyncError('OVERLOADED', 'x'), 'code', { get: fail });
    },
  ],
  ['a thenable that throws', () => Object.defineProperty({}, 'then', { get: fail })],
  [
    'a promise that cannot be waited for',
    () => Object.defineProperty(Promise.resolve(), 'constructor', { get: fail }),
  ],
  ['a gap among the approved', () => ({ approved: new Array(1), rejected: [] })],
  ['a gap without end', () => ({ approved: new Array(2 ** 32 - 1), rejected: [] })],
];

/** Of an array, or of a verdict's `approved`, change sets put in place of those that are right. */
function mapSets(right: unknown, to: (set: object) => unknown): unknown {
  if (Array.isArray(right)) return right.map(to);
  const { approved } = Object(right);
  return Array.isArray(approved) ? { approved: approved.map(to), rejected: [] } : right;
}

function mapChanges(right: unknown, to: (change: object) => unknown): unknown {
  return mapSets(right, (set) => ({ ...set, changes: Object(set).changes.map(to) }));
}

const WRONG_CHANGE: [name: string, to: (change: object) => unknown][] = [
  ['a sparse key', (change) => ({ ...change, pk: new Array(1) })],
  ['a value that throws as JSON', (change) => ({ ...change, value: { toJSON: fail } })],
  ['a value that is no number', (change) => ({ ...change, value: Number.NaN })],
  ['no HLC', (change) => ({ ...change, hlc: undefined })],
  [
    'a counter out of range',
    (change) => ({ ...change, hlc: { ...Object(change).hlc, counter: 1e9 } }),
  ],
  [
    'a time out of range',
    (change) => ({ ...change, hlc: { ...Object(change).hlc, wallTime: -1n } }),
  ],
  ['an endless name', (change) => ({ ...change, table: 'x'.repeat(2000) })],
  ['a getter that throws', (change) => Object.defineProperty({ ...change }, 'pk', { get: fail })],
];

/** Right in what it says, odd in how. */
const ODD: [name: string, answer: ScriptedAnswer['answer']][] = [
  ['later', async (_, right) => right()],
  ['frozen', (_, right) => Object.freeze(right())],
  ['with more than was asked', (_, right) => Object.assign(Object(right()), { more: hostile() })],
  ['through a proxy', (_, right) => mapSets(right(), (set) => new Proxy(set, {}))],
];

const twice: ScriptedAnswer['answer'] = (_, right) =>
  mapSets(right(), (set) => ({
    ...set,
    changes: [...Object(set).changes, ...Object(set).changes],
  }));

/** Who sends is told once all the same; who stores can't know which of them is meant. */
export const changesTwice = (isRight: boolean): fc.Arbitrary<ScriptedAnswer> =>
  scripted([['changes twice', twice]], isRight);

const scripted = (entries: [string, ScriptedAnswer['answer']][], isRight: boolean) =>
  fc
    .constantFrom(...entries)
    .map(([name, answer]) =>
      fc.cloneIfNeeded({ answer, isRight, [fc.toStringMethod]: () => name }),
    );

/** `true` and the empty list are right answers to some questions. */
const garbage = fc
  .anything({ withBigInt: true, withSparseArray: true, withNullPrototype: true })
  .filter((value) => value !== true && !(Array.isArray(value) && value.length === 0));

export const anyAnswer: fc.Arbitrary<ScriptedAnswer> = fc.oneof(
  scripted(WRONG, false),
  scripted(
    WRONG_CHANGE.map(([name, to]) => [name, (_, right) => mapChanges(right(), to)]),
    false,
  ),
  scripted(ODD, true),
  garbage.map((value) => ({ answer: () => value, isRight: false })),
);

export const neverSettling: fc.Arbitrary<ScriptedAnswer> = fc.constant({
  answer: () => new Promise(() => undefined),
  isRight: false,
});
