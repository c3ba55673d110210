/** Pages of other origins: what `cors.origin` says holds for HTTP and WebSocket alike. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import WebSocket from 'ws';
import type { CoordinatorConfig } from '../../src/config/schema.ts';
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
    async mayRead(origin: string): Promise<boolean> {
      const { headers } = await fetch(`${httpUrl}/status`, { headers: { origin } });
      return headers.get('access-control-allow-origin') === origin;
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
    const { mayOpen, mayRead } = await asker(t, allowed);
    assert.deepEqual([await mayOpen(OURS), await mayRead(OURS)], [ours, ours]);
    for (const origin of [THEIRS, `${OURS}.evil.example`, 'null']) {
      assert.deepEqual([await mayOpen(origin), await mayRead(origin)], [theirs, theirs], origin);
    }
    assert.equal(await mayOpen(), true, 'no browser, no origin');
  });
}
