/** A token does not get into the log by being spelled otherwise. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blotOut } from '../../src/hooks/redact.ts';

const TOKEN = 'Zebra-1 "q\\uagga"/+ä==';
const bytes = Buffer.from(TOKEN);
const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ6ZWJyYSJ9.c2lnbmF0dXJlLW9mLXplYnJh';

const SPELLINGS: [string, string][] = [
  [TOKEN, TOKEN],
  [TOKEN, encodeURIComponent(TOKEN)],
  [TOKEN, encodeURIComponent(TOKEN).toLowerCase()],
  [TOKEN, String(new URLSearchParams({ a: TOKEN })).slice(2)],
  [TOKEN, JSON.stringify(TOKEN).slice(1, -1)],
  [TOKEN, TOKEN.toUpperCase()],
  [TOKEN, bytes.toString('hex')],
  [TOKEN, bytes.toString('base64').replace(/=+$/, '')],
  [TOKEN, bytes.toString('base64url')],
  ['Basic YW5uOnplYnJhLXNlY3JldA==', 'ann:zebra-secret'],
  ['zebra%2Fquagga', 'zebra/quagga'],
  ...JWT.split('.').map((part): [string, string] => [JWT, part]),
  [JWT, JWT.slice(0, 30)],
];

for (const [token, spelling] of SPELLINGS) {
  test(`${spelling} is blotted out`, () => {
    const text = blotOut(`it is <${spelling}> that is wrong`, token);
    const left = text.replaceAll('[token]', '');
    assert.match(text, /^it is <.*\[token\].*> that is wrong$/);
    // What is left at an end is no more than a few characters.
    assert.ok(left.length <= 'it is <> that is wrong'.length + 3, text);
  });
}

test('so is a token behind others in base64', () => {
  for (const user of ['', 'a', 'ab', 'ann:']) {
    const text = blotOut(Buffer.from(`${user}zebra-quagga`).toString('base64'), 'zebra-quagga');
    assert.match(text, /^.{0,7}\[token\].{0,3}$/);
  }
});

test('other words stay, and a short token is taken out as it is', () => {
  assert.equal(blotOut('no such token', 'a-token-of-mine'), 'no such token');
  assert.equal(blotOut('not ab, ac', 'ab'), 'not [token], ac');
});

test('nothing that repeats itself takes long', () => {
  assert.equal(blotOut('a'.repeat(100_000), `${'a'.repeat(1_000_000)}b`), '[token]');
});
