import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Device } from '../../src/testing/device.ts';
import { findRounded, toPlainInteger } from '../../src/wire/exact-integers.ts';
import { holds } from '../support/runs.ts';
import { startServer } from '../support/server.ts';

const ROUNDED = [
  '9007199254740993',
  '-9007199254740993',
  '9223372036854775807',
  '12345678901234567890123',
  '1'.repeat(400),
  '9007199254740993.0',
  '-9007199254740993.000',
  '9007199254740993e0',
  '900719925474099.3e1',
  '90071992547409930e-1',
  '0.9007199254740993E+16',
];
const EXACT = [
  '9007199254740992',
  '9007199254740991',
  '12345678901234567000',
  '100000000000000000000',
  '1000000000000000000000',
  '1.2345678901234567890',
  '12345678901234567.5',
  '12345678901234567e3',
  '1e400',
  '9007199254740992.0',
  '9.007199254740993e+35',
  '9.007199254740993E35',
  '1.7976931348623157e308',
  '9007199254740993E5',
  // As C writes doubles.
  '1.2345678901234567e+20',
  '28742215267722814e6',
  '9007199254740993e-1',
  '9007199254740993.5',
  '1000000000000000000000.0',
  '0000000000000000',
  '-0.0000000000000000000',
  '1234567890123456789e-400',
  '2026-11-30T00:00:00+00:00',
];

test('an integer that a double cannot hold is found wherever it stands', () => {
  for (let shift = 0; shift < 20; shift++) {
    const pad = ' '.repeat(shift);
    for (const digits of ROUNDED) {
      for (const [before, after] of [
        ['', ''],
        ['[', ']'],
        ['{"a\\\\":', '}'],
        ['["x\\"",7,', ',"y"]'],
      ]) {
        assert.equal(findRounded(`${pad}${before}${digits}${after}`), digits);
      }
    }
  }
});

test('it is shown as a big integer is written', () => {
  assert.equal(toPlainInteger('-9007199254740993.00'), '-9007199254740993');
  assert.equal(toPlainInteger('900719925474099.3e3'), '900719925474099300');
  assert.equal(toPlainInteger('9007199254740993'), '9007199254740993');
});

test('other numbers, and digits in texts, are none', () => {
  for (let shift = 0; shift < 20; shift++) {
    const pad = ' '.repeat(shift);
    for (const digits of EXACT) assert.equal(findRounded(`${pad}[${digits}]`), undefined, digits);
    for (const digits of ROUNDED) {
      for (const text of [digits, `[${digits}]`, `\\",${digits},\\"`, `: ${digits} `]) {
        const json = `${pad}[${JSON.stringify(text)},"${text.replaceAll('\\"', '')}"]`;
        assert.equal(findRounded(json), undefined, json);
      }
    }
  }
});

test('nothing that JavaScript writes is refused', () => {
  const value = fc.jsonValue();
  const number = fc.oneof(
    fc.double(),
    fc.bigInt({ min: -(2n ** 80n), max: 2n ** 80n }).map(Number),
  );
  holds(
    fc.property(number, (value) => {
      const text = Number.isFinite(value) ? value.toPrecision(17) : '0';
      assert.equal(findRounded(`[${text}]`), undefined, 'as C writes it');
    }),
    100,
  );
  holds(
    fc.property(fc.array(fc.oneof(value, number)), (values) => {
      assert.equal(findRounded(JSON.stringify(values)), undefined);
    }),
    100,
  );
});

test('it is refused as a key and as a value, and nothing of its batch is stored', async (t) => {
  const { httpUrl } = await startServer(t, { config: { storage: 'memory:' } });
  const device = new Device(1);
  const headers = { 'x-site-id': device.siteId };
  for (const set of [
    device.write({ pk: [7777], set: { a: 1 } }),
    device.write({ pk: [1], set: { a: { b: [7777] } } }),
  ]) {
    const body = JSON.stringify([set]).replace('7777', '9007199254740993');
    const answer = await fetch(`${httpUrl}/changes`, { method: 'POST', headers, body });
    assert.equal(answer.status, 400);
    const { error } = (await answer.json()) as { error: { code: string; message: string } };
    assert.equal(error.code, 'MESSAGE_ERROR');
    assert.match(error.message, /\{"__bigint":"9007199254740993"\}/);
  }
  const stored = await fetch(`${httpUrl}/changes`, { headers });
  assert.match(await stored.text(), /"changes":\[\]/);
});
