/** Answers that are compressed: `Accept-Encoding`. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { get, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import * as zlib from 'node:zlib';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import { defineHooks } from '../../src/index.ts';
import { Device } from '../../src/testing/device.ts';
import { aMoment } from '../support/moment.ts';
import { startServer } from '../support/server.ts';
import { overHttp } from './transport.ts';

type Decode = (body: Buffer) => Buffer;

const DECODERS: Record<string, Decode> = {
  gzip: zlib.gunzipSync,
  br: zlib.brotliDecompressSync,
  identity: (body) => body,
};
// From Node.js 22.15 on.
const unzstd: Decode | undefined = Reflect.get(zlib, 'zstdDecompressSync');
if (unzstd !== undefined) DECODERS.zstd = unzstd;
const BEST = unzstd === undefined ? 'br' : 'zstd';

interface Answer {
  headers: IncomingHttpHeaders;
  encoding: string;
  bytes: number;
  text: string;
}

async function start(t: TestContext, config: CoordinatorConfigInput = {}) {
  const server = await startServer(t, { config: { storage: 'memory:', ...config } });
  const device = new Device(1);
  const transport = await overHttp(server, device, t);
  const write = (pk: number, text: string) =>
    transport.apply(device.write({ table: 'tasks', pk: [pk], set: { text } }));
  const request = (path: string, acceptEncoding?: string) => {
    const headers: Record<string, string> = { 'x-site-id': new Device(2).siteId };
    if (acceptEncoding !== undefined) headers['accept-encoding'] = acceptEncoding;
    return get(`${server.httpUrl}${path}`, { headers, agent: false });
  };
  const ask = async (path: string, acceptEncoding?: string): Promise<Answer> => {
    const [incoming] = (await once(request(path, acceptEncoding), 'response')) as [IncomingMessage];
    const body = await buffer(incoming);
    const { 'content-encoding': encoding = 'identity' } = incoming.headers;
    const text = String(DECODERS[encoding]?.(body));
    return { headers: incoming.headers, encoding, bytes: body.length, text };
  };
  return { server, write, request, ask };
}

const LONG = 'What is said once more is said in a few bytes. '.repeat(200);

test('changes and snapshots are the same in every encoding, and a fraction of it', async (t) => {
  const { write, ask } = await start(t);
  for (let i = 0; i < 20; i++) await write(i, `${i} ${LONG}`);
  for (const path of ['/changes', '/snapshot']) {
    const plain = await ask(path);
    assert.equal(plain.encoding, 'identity');
    for (const encoding of Object.keys(DECODERS)) {
      const answer = await ask(path, encoding);
      assert.equal(answer.encoding, encoding, path);
      const [expected, seen] = [plain, answer].map(({ text }) =>
        text.replaceAll(/"snapshotId":"[^"]*"/g, ''),
      );
      assert.ok(seen === expected, `${path} in ${encoding}`);
      assert.equal(answer.headers.vary?.includes('Accept-Encoding'), true);
      if (encoding === 'identity') continue;
      assert.ok(answer.bytes < plain.bytes / 10, `${path} in ${encoding}: ${answer.bytes} bytes`);
      assert.equal(answer.headers['content-length'], undefined);
    }
  }
});

test('what the client prefers is taken, and nothing that it does not accept', async (t) => {
  const { write, ask } = await start(t);
  await write(1, LONG);
  const expected: [string, string][] = [
    ['gzip, deflate, br, zstd', BEST],
    ['*', BEST],
    ['br;q=0.1, gzip;q=0.9', 'gzip'],
    ['GZIP', 'gzip'],
    ['identity;q=1, gzip;q=0.5', 'identity'],
    ['gzip;q=0, deflate, compress', 'identity'],
    ['', 'identity'],
    [',,;q=,', 'identity'],
    ['*;q=0', 'identity'],
  ];
  for (const [accepted, encoding] of expected) {
    const { text, ...answer } = await ask('/changes', accepted);
    assert.equal(answer.encoding, encoding, accepted);
    assert.equal(JSON.parse(text).data.changes.length, 1);
  }
});

test('short answers go as they are, and all do where compression is off', async (t) => {
  const { ask, write } = await start(t);
  await write(1, 'short');
  const short = await ask('/changes', 'gzip');
  assert.equal(short.encoding, 'identity');
  assert.equal(short.headers['content-length'], String(short.bytes));
  const off = await start(t, { compression: { http: false } });
  await off.write(1, LONG);
  for (const path of ['/changes', '/snapshot']) {
    const { encoding, headers } = await off.ask(path, 'gzip');
    assert.equal(encoding, 'identity');
    assert.doesNotMatch(headers.vary ?? '', /Accept-Encoding/);
  }
});

test('a snapshot that fails on its way ends with the error in every encoding', async (t) => {
  const failing = defineHooks({
    name: 'failing',
    hooks: {
      onBeforeSendChanges(_client, changeSets) {
        const isLast = JSON.stringify(changeSets, toText).includes('the last row');
        if (isLast) throw new Error('not for the client');
        return changeSets;
      },
    },
  });
  const { write, ask } = await start(t, { hooks: [failing] });
  await write(1, LONG.repeat(100));
  await write(2, 'the last row');
  for (const encoding of Object.keys(DECODERS)) {
    const { text } = await ask('/snapshot', encoding);
    assert.equal(JSON.parse(text.trimEnd().split('\n').at(-1) ?? '').error?.code, 'HOOK_FAILED');
  }
});

test('whoever takes nothing of a compressed answer holds up nobody, and its memory is given back', async (t) => {
  const { server, write, request, ask } = await start(t);
  // Long, and not to be compressed.
  for (let i = 0; i < 30; i++) await write(i, randomBytes(300_000).toString('base64'));
  const { answers } = server.service.memory;
  for (const path of ['/snapshot', '/changes']) {
    const deaf = request(path, 'gzip');
    const [incoming] = (await once(deaf, 'response')) as [IncomingMessage];
    assert.equal(incoming.headers['content-encoding'], 'gzip');
    assert.ok(answers.held > 0);
    assert.equal((await ask('/changes', 'gzip')).encoding, 'gzip');
    deaf.destroy();
    while (answers.held > 0) await aMoment();
  }
});

function toText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
