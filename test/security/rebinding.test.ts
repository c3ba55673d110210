/** DNS rebinding: a name of somebody else's that leads to this machine opens nothing on it. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import { connectRaw } from '../support/raw-connection.ts';
import { startServer } from '../support/server.ts';

const FAIL = { timeout: 20_000 };
const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';

/** @returns asks by a name, and gives the status that is answered */
async function asker(t: TestContext, config: CoordinatorConfigInput) {
  const { httpUrl } = await startServer(t, { config: { storage: 'memory:', ...config } });
  return async (host: string, path = 'status', headers = 'Connection: close\r\n') => {
    const socket = await connectRaw(t, { httpUrl });
    socket.write(`GET /sync/${path} HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n`);
    for await (const chunk of socket) {
      const [, status] = /^HTTP\/1\.1 (\d+) /.exec(String(chunk)) ?? [];
      return Number(status);
    }
    return undefined;
  };
}

const LOCAL = [
  'localhost',
  'localhost:3000',
  'LOCALHOST.',
  '127.0.0.1:3000',
  '127.9.9.9',
  '[::1]:3000',
  'app.localhost',
];
const ELSEWHERE = [
  'evil.example',
  'evil.example:3000',
  '127.0.0.1.evil.example',
  'localhost.evil.example',
  'x',
  '10.0.0.1',
];

test(
  'without credentials and on the loopback only names of this machine are served',
  FAIL,
  async (t) => {
    const ask = await asker(t, {});
    for (const host of LOCAL) {
      assert.equal(await ask(host), 200, host);
      assert.equal(await ask(host, 'ws', UPGRADE), 101, host);
    }
    for (const host of ELSEWHERE) {
      for (const path of ['status', 'metrics', 'changes', 'nowhere']) {
        assert.equal(await ask(host, path), 403, `${host} ${path}`);
      }
      assert.equal(await ask(host, 'ws', UPGRADE), 403, host);
    }
  },
);

test(
  'with credentials, behind a proxy or on other addresses any name is served',
  FAIL,
  async (t) => {
    for (const config of [
      { auth: { mode: 'token-whitelist', tokens: ['secret'] } },
      { trustProxy: 'loopback' },
      { host: '0.0.0.0' },
    ] as const) {
      const ask = await asker(t, config);
      assert.equal(await ask('sync.example'), 200, JSON.stringify(config));
    }
  },
);
