/** Bodies that come compressed: `Content-Encoding`. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { defineHooks } from '../../src/index.ts';
import { BODY_ENCODINGS } from '../../src/service/http/body-encoding.ts';
import { Device } from '../../src/testing/device.ts';
import { aMoment } from '../support/moment.ts';
import { startServer } from '../support/server.ts';
import { rawRequest } from './raw-http.ts';

const MIB = 1024 * 1024;

/** A frame of blocks that are as they were (RFC 8878): not every Node.js has what makes one. */
function zstdStored(body: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0x38)];
  for (let at = 0; at < body.length; at += 65_536) {
    const block = body.subarray(at, at + 65_536);
    const header = Buffer.alloc(3);
    header.writeUIntLE(block.length * 8 + (at + 65_536 >= body.length ? 1 : 0), 0, 3);
    parts.push(header, block);
  }
  return Buffer.concat(parts);
}

const ENCODERS: Record<string, (body: Buffer<ArrayBuffer>) => Buffer> = {
  gzip: gzipSync,
  'x-gzip': gzipSync,
  GZIP: gzipSync,
  deflate: deflateSync,
  'deflate ': deflateRawSync,
  br: (body) => brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
  identity: (body) => body,
};
if (BODY_ENCODINGS.includes('zstd')) ENCODERS.zstd = zstdStored;

async function poster(t: TestContext, messageBytes: number) {
  const server = await startServer(t, { config: { storage: 'memory:', limits: { messageBytes } } });
  const device = new Device(1);
  const post = (encoding: string, body: Buffer | string, more: Record<string, string> = {}) =>
    rawRequest(server.httpUrl, {
      method: 'POST',
      path: '/sync/changes',
      headers: { 'x-site-id': device.siteId, 'content-encoding': encoding, ...more },
      body,
    });
  return { server, device, post };
}

test('a body is understood in each encoding that is common', async (t) => {
  const { device, post } = await poster(t, MIB);
  for (const [encoding, encode] of Object.entries(ENCODERS)) {
    for (const text of ['x', 'x'.repeat(MIB / 2)]) {
      const batch = Buffer.from(JSON.stringify([device.write({ pk: [1], set: { text } })]));
      const { status, json } = await post(encoding, encode(batch));
      assert.equal(status, 200, `${encoding}: ${json?.error?.message}`);
      assert.equal((json?.data as { applied: number } | undefined)?.applied, 1, encoding);
    }
  }
});

test('what is larger than a body may be is refused, before it or after it has been decoded', async (t) => {
  const { server, device, post } = await poster(t, MIB);
  const bomb = Buffer.alloc(30 * MIB, ' ');
  for (const encoding of ['gzip', 'deflate', 'br']) {
    const { status, json } = await post(encoding, ENCODERS[encoding]?.(bomb) ?? '');
    assert.equal(status, 413, encoding);
    assert.equal(json?.error?.code, 'TOO_LARGE');
  }
  const stored = gzipSync(Buffer.alloc(2 * MIB, 'x'), { level: 0 });
  assert.equal((await post('gzip', stored)).status, 413);
  const batch = Buffer.from(JSON.stringify([device.write({ pk: [1], set: { a: 1 } })]));
  const padded = Buffer.concat([batch, Buffer.alloc(MIB - batch.length, ' ')]);
  assert.equal((await post('gzip', gzipSync(padded))).status, 200, 'as large as it may be');
  while (server.service.memory.arrived.held > 0) await aMoment();
});

test('what is not encoded as it says is malformed, and other encodings are answered 415', async (t) => {
  const { post } = await poster(t, MIB);
  const good = gzipSync('[]');
  for (const encoding of Object.keys(ENCODERS)) {
    if (encoding === 'identity') continue;
    for (const body of ['[]', '', ENCODERS[encoding]?.(Buffer.from('[]')).subarray(0, -1) ?? '']) {
      const { status, json } = await post(encoding, body);
      assert.equal(status, 400, `${encoding} ${String(body)}`);
      assert.equal(json?.error?.code, 'MESSAGE_ERROR');
    }
  }
  assert.equal((await post('gzip', gzipSync(Buffer.of(0x22, 0xff, 0x22)))).status, 400, 'no UTF-8');
  for (const encoding of ['compress', 'aes128gcm', 'gzip, gzip', 'gzip, br', 'toString', '*']) {
    const { status, json, headers } = await post(encoding, good);
    assert.equal(status, 415, encoding);
    assert.equal(json?.error?.code, 'UNSUPPORTED_ENCODING');
    assert.equal(headers['accept-encoding'], BODY_ENCODINGS.join(', '));
  }
});

test('a checkpoint and the routes of hook modules are sent so as well', async (t) => {
  const echo = defineHooks({
    name: 'echo',
    async setup(_options, { routes }) {
      routes(
        (app) => {
          app.post('/', async ({ body }) => body);
        },
        { open: true },
      );
      return {};
    },
  });
  const server = await startServer(t, { config: { storage: 'memory:', hooks: [echo] } });
  const ask = (path: string, body: Buffer, encoding = 'gzip') => {
    const headers = {
      ...{ 'x-site-id': new Device(1).siteId, 'content-encoding': encoding },
      'content-type': 'application/json',
    };
    return rawRequest(server.httpUrl, { method: 'POST', path, headers, body });
  };
  const answer = await ask('/sync/snapshot', gzipSync('{"checkpoint":7}'));
  assert.equal(answer.status, 400);
  assert.match(answer.json?.error?.message ?? '', /checkpoint/);
  const echoed = await ask('/sync/hooks/echo/', gzipSync('{"a":1}'));
  assert.deepEqual([echoed.status, echoed.text], [200, '{"a":1}']);
  assert.equal((await ask('/sync/hooks/echo/', gzipSync(Buffer.alloc(2 * MIB, ' ')))).status, 413);
  assert.equal((await ask('/sync/hooks/echo/', gzipSync('{}'), 'zip')).status, 415);
});
