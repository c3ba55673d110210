import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isForPublicSuffix,
  isOriginOf,
  originPatternFault,
} from '../../src/config/origin-pattern.ts';
import { loadConfig } from '../../src/config/resolve-config.ts';
import { createDir } from './temp-dir.ts';

const GOOD = [
  '*',
  'null',
  'file://',
  'https://app.example.com',
  'http://localhost:5173',
  'http://[::1]:3000',
  'http://192.168.1.5',
  'https://xn--bcher-kva.example',
  'https://*.example.com',
  'https://*.example.com:8443',
  'capacitor://localhost',
  'chrome-extension://abcdefghijklmnopabcdefghijklmnop',
];

test('what browsers send may stand in cors.origin', () => {
  for (const pattern of GOOD) assert.equal(originPatternFault(pattern), undefined, pattern);
});

/** What can never match, and what was probably meant. */
const BAD: [string, string | undefined][] = [
  ['https://app.example.com/', 'https://app.example.com'],
  ['https://app.example.com/path?x#y', 'https://app.example.com'],
  ['HTTPS://App.Example.com', 'https://app.example.com'],
  ['https://app.example.com:443', 'https://app.example.com'],
  ['https://user:pw@app.example.com', 'https://app.example.com'],
  ['https://bücher.example', 'https://xn--bcher-kva.example'],
  ['app.example.com', 'https://app.example.com'],
  ['localhost:5173', 'http://localhost:5173'],
  ['*.example.com', 'https://*.example.com'],
  ['https://*.Example.com/', 'https://*.example.com'],
  ['wss://app.example.com', 'https://app.example.com'],
  ['https://app.*.com', undefined],
  ['https://*', undefined],
  ['https://*example.com', undefined],
  ['https://*.*.example.com', undefined],
  ['http://localhost:*', undefined],
  ['moz-extension://*', undefined],
  ['capacitor://localhost/', undefined],
  ['http://', undefined],
  ['https://a.com;https://b.com', undefined],
  ['https://a.com https://b.com', undefined],
  [' ', undefined],
  ['/^https:/', undefined],
];

test('what no browser sends is refused at start, with its source and what was meant', (t) => {
  const cwd = createDir(t);
  for (const [pattern, right] of BAD) {
    const fault = originPatternFault(pattern);
    assert.ok(fault !== undefined, pattern);
    assert.equal(/^"(.*)": browsers send/.exec(fault)?.[1], right, pattern);
    if (right !== undefined) assert.equal(originPatternFault(right), undefined, right);
    for (const origin of [pattern, ['https://good.example', pattern]]) {
      const load = () => loadConfig({ cwd, env: {}, overrides: { cors: { origin } } });
      assert.throws(load, (error: Error) => {
        assert.ok(
          error.message.startsWith(`override: cors.origin was ${JSON.stringify(pattern)}, may be `),
        );
        return true;
      });
    }
  }
});

test('*. stands for subdomains, of whatever depth, and for nothing else', () => {
  const pattern = 'https://*.example.com:8443';
  for (const origin of ['https://a.example.com:8443', 'https://a-1.b.example.com:8443']) {
    assert.ok(isOriginOf(pattern, origin), origin);
  }
  for (const origin of [
    'https://example.com:8443',
    'https://.example.com:8443',
    'https://a..example.com:8443',
    'https://a.example.com',
    'http://a.example.com:8443',
    'https://aexample.com:8443',
    'https://evil.test/.example.com:8443',
    'https://evil.test#.example.com:8443',
    'https://evil.test@a.example.com:8443',
    'https://a.example.com:8443.evil.test',
    'null',
    '',
  ]) {
    assert.ok(!isOriginOf(pattern, origin), origin);
  }
});

test('several in one are told how they are separated', () => {
  for (const between of [';', ' ', ', ', ',', '|', '\n']) {
    const fault = originPatternFault(`https://a.com${between}https://b.com`);
    assert.match(fault ?? '', /separated by commas/, between);
  }
});

test('subdomains of what anybody may buy a name in are told from those of an owner', () => {
  for (const domain of ['com', 'app', 'co.uk', 'com.au:8443', 'xn--p1ai']) {
    assert.ok(isForPublicSuffix(`https://*.${domain}`), domain);
  }
  for (const domain of ['example.com', 'localhost:5173', 'internal', 'a.co.uk', 'co.example']) {
    assert.ok(!isForPublicSuffix(`https://*.${domain}`), domain);
  }
  assert.ok(!isForPublicSuffix('https://com'));
});
