/** How much there may be in a primary key. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PK_LENGTH_MAX, PK_MEMBERS_MAX } from '../../src/protocol/constants.ts';
import { Device } from '../../src/testing/device.ts';
import { decodeApplyBody } from './decode-at-once.ts';

const LIMITS = { changesPerBatch: 1000, valuesPerMessage: 1_000_000, valueBytes: 4 * 1024 * 1024 };
const device = new Device(1);
const decode = (pk: unknown[]) =>
  decodeApplyBody(JSON.stringify([device.write({ pk, set: { a: 1 } })]), LIMITS);
const members = (count: number) => Array.from({ length: count }, (_, i) => i);

test('a primary key has 64 members, and one with more is refused with its place', () => {
  assert.equal(decode(members(PK_MEMBERS_MAX)).length, 1);
  for (const count of [PK_MEMBERS_MAX + 1, 240_000]) {
    assert.throws(() => decode(members(count)), {
      code: 'MESSAGE_ERROR',
      message: '[0].changes[0].pk: has more than 64 members',
    });
  }
});

test('a primary key has 64 KiB of characters, in whatever they stand', () => {
  const most = PK_LENGTH_MAX;
  const half = 'x'.repeat(most / 2);
  for (const pk of [['x'.repeat(most)], [half, half], [{ __bin: 'QUFB'.repeat(most / 5) }]]) {
    assert.equal(decode(pk).length, 1);
  }
  for (const pk of [
    ['x'.repeat(most + 1)],
    [half, `${half}x`],
    [{ __bin: 'QUFB'.repeat(most / 4) }],
    [{ ['x'.repeat(most)]: 1 }],
    [[[[members(most)]]]],
    [{ a: { b: [half, half] } }],
    [members(most).map(() => ({}))],
  ]) {
    assert.throws(() => decode(pk), {
      code: 'MESSAGE_ERROR',
      message: '[0].changes[0].pk: has more than 65536 characters',
    });
  }
});
