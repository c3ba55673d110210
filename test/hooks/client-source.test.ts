/** Whom failures are put down to. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addressToSource,
  clientAddressOf,
  plainAddress,
  sourceOf,
} from '../../src/hooks/client-source.ts';

const sourceFrom = (remoteAddress: string, headers = {}) => sourceOf({ remoteAddress, headers });

test('an address of IPv4 is one source, however it is written; of IPv6 a network is', () => {
  assert.equal(sourceFrom('203.0.113.7'), sourceFrom('::ffff:203.0.113.7'));
  assert.notEqual(sourceFrom('203.0.113.7'), sourceFrom('203.0.113.8'));
  assert.equal(sourceFrom('2a01:4f8:1:2::1'), sourceFrom('2a01:4f8:1:2:ffff::ffff'));
  assert.notEqual(sourceFrom('2a01:4f8:1:2::1'), sourceFrom('2a01:4f8:1:3::1'));
  assert.ok(sourceFrom('fe80::1%eth0'));
  assert.equal(sourceFrom('/run/proxy.sock'), '/run/proxy.sock');
});

test('clients of a proxy that is not trusted are not taken for one', () => {
  for (const proxy of ['127.0.0.1', '::1', '10.0.0.2', '192.168.1.1', 'fd00::1', '100.64.0.1']) {
    for (const header of ['x-forwarded-for', 'x-real-ip']) {
      const origin = { remoteAddress: proxy, headers: { [header]: '203.0.113.7' } };
      assert.equal(sourceOf(origin), undefined, proxy);
      assert.equal(clientAddressOf(origin), undefined, proxy);
    }
    assert.ok(sourceFrom(proxy), 'a client of the same network');
  }
  const forwarded = { forwarded: 'for=203.0.113.7;proto=https' };
  assert.equal(sourceFrom('127.0.0.1', forwarded), undefined);
});

test('who adds the headers of a proxy from outside stays whom it is', () => {
  const headers = { 'x-forwarded-for': '198.51.100.1', forwarded: 'for=198.51.100.1' };
  const origin = { remoteAddress: '203.0.113.7', headers };
  assert.equal(sourceOf(origin), sourceFrom('203.0.113.7'));
  assert.equal(clientAddressOf(origin), '203.0.113.7');
});

test('where the proxy is trusted the address is one of those that it names', () => {
  const headers = { 'x-forwarded-for': '10.1.2.3, 10.0.0.2' };
  assert.equal(sourceFrom('10.1.2.3', headers), sourceFrom('10.1.2.3'));
});

test('without an address there is no source', () => {
  assert.equal(sourceOf({ headers: {} }), undefined);
});

test('a port, brackets, quotes and a zone make no other source, as proxies write them', () => {
  for (const v4 of [
    '203.0.113.7:1',
    '203.0.113.7:65535',
    '::ffff:203.0.113.7',
    '"203.0.113.7:80"',
  ]) {
    assert.equal(addressToSource(v4), addressToSource('203.0.113.7'), v4);
  }
  const v6 = [
    '[2001:db8::1]',
    '[2001:db8::2]:80',
    '"[2001:db8::3]:443"',
    '2001:DB8:0:0:9::',
    '2001:db8::1%7',
  ];
  for (const address of v6) {
    assert.equal(addressToSource(address), addressToSource('2001:db8::1'), address);
  }
  assert.equal(addressToSource('[::ffff:203.0.113.7]:80'), addressToSource('203.0.113.7'));
  assert.equal(sourceFrom('203.0.113.7:4711'), sourceFrom('203.0.113.7'));
  assert.equal(addressToSource(undefined), '');
  for (const odd of ['unknown', '_hidden', '203.0.113.7:port', '[2001:db8::1']) {
    assert.equal(addressToSource(odd), odd);
  }
  assert.equal(plainAddress('203.0.113.7:4711'), '203.0.113.7');
  assert.equal(plainAddress('[2001:db8::1]:443'), '2001:db8::1');
});
