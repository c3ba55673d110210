/** Pages of other origins: what `cors.origin` says holds for HTTP and WebSocket alike. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import WebSocket from 'ws';
import type { CoordinatorConfig } from '../../src/config/schema.ts';
import { Device } from '../../src/testing/device.ts';
import { startServer } from '../support/server.ts';

const [OURS, THEIRS] = ['https://app.example', 'https://evil.example'];

/** What both transports answer to a page, or to a client that names no origin. */
async function asker(t: TestContext, allowed: CoordinatorConfig['cors']['origin']) {
  const config = { storage: 'memory:', cors: { origin: allowed } };
  const { wsUrl, httpUrl } = await startServer(t, { config });
  return {
    async mayOpen(origin?: string): Promise<boolean> {
      const socket = new WebSocket(wsUrl, { origin });
      t.after(() => socket.terminate());
      socket.on('error', () => undefined);
      const refused = once(socket, 'unexpected-response');
      const opened = once(socket, 'open').then(() => undefined);
      const outcome = await Promise.race([opened, refused]);
      if (outcome === undefined) return true;
      const answer: IncomingMessage = outcome[1];
      assert.equal(answer.statusCode, 403);
      assert.equal(JSON.parse(await text(answer)).error.code, 'NOT_AUTHORIZED');
      return false;
    },
    /** Over HTTP, by any method, whatever it says that it sends. */
    async mayAsk(origin?: string): Promise<boolean> {
      const site = { 'x-site-id': new Device(1).siteId, ...(origin !== undefined && { origin }) };
      const plain = { ...site, 'content-type': 'text/plain' };
      const asked = await Promise.all([
        fetch(`${httpUrl}/status`, { headers: site }),
        fetch(`${httpUrl}/metrics`, { headers: site }),
        fetch(`${httpUrl}/changes`, { headers: site }),
        fetch(`${httpUrl}/changes`, { method: 'POST', headers: site, body: '[]' }),
        fetch(`${httpUrl}/changes`, { method: 'POST', headers: plain, body: '[]' }),
        fetch(`${httpUrl}/snapshot`, { headers: site }),
      ]);
      const isLetIn = asked[0].status === 200;
      for (const answer of asked) {
        const body = await answer.text();
        assert.equal(answer.status, isLetIn ? 200 : 403, body);
        if (!isLetIn) assert.equal(JSON.parse(body).error.code, 'NOT_AUTHORIZED');
        const told = answer.headers.get('access-control-allow-origin');
        const withCookies = answer.headers.get('access-control-allow-credentials');
        const isTold = isLetIn && origin !== undefined;
        assert.equal(told, isTold ? (origin === 'null' ? '*' : origin) : null);
        if (isTold) assert.equal(withCookies, origin === 'null' ? null : 'true');
      }
      return isLetIn;
    },
  };
}

const CASES: [CoordinatorConfig['cors']['origin'], ours: boolean, theirs: boolean][] = [
  [true, true, true],
  ['*', true, true],
  [false, false, false],
  [OURS, true, false],
  [['https://other.example', OURS], true, false],
];

for (const [allowed, ours, theirs] of CASES) {
  test(`cors.origin ${JSON.stringify(allowed)} holds for HTTP and WebSocket alike`, async (t) => {
    const { mayOpen, mayAsk } = await asker(t, allowed);
    assert.deepEqual([await mayOpen(OURS), await mayAsk(OURS)], [ours, ours]);
    for (const origin of [THEIRS, `${OURS}.evil.example`, 'null']) {
      assert.deepEqual([await mayOpen(origin), await mayAsk(origin)], [theirs, theirs], origin);
    }
    assert.deepEqual([await mayOpen(), await mayAsk()], [true, true], 'no browser, no origin');
  });
}

test('a preflight of a page that is not let in is refused like all else', async (t) => {
  const config = { storage: 'memory:', cors: { origin: OURS } };
  const { httpUrl } = await startServer(t, { config });
  const ask = (origin: string) =>
    fetch(`${httpUrl}/changes`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST' },
    });
  assert.equal((await ask(OURS)).status, 204);
  const refused = await ask(THEIRS);
  assert.equal(refused.status, 403);
  assert.equal(JSON.parse(await refused.text()).error.code, 'NOT_AUTHORIZED');
});
