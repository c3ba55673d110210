/** Pages of other origins: what `cors.origin` says holds for HTTP and WebSocket alike. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import WebSocket from 'ws';
import type { CoordinatorConfig, CoordinatorConfigInput } from '../../src/config/schema.ts';
import { Device } from '../../src/testing/device.ts';
import { connectRaw } from '../support/raw-connection.ts';
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
  [['https://*.example', 'https://other.example'], true, true],
  ['https://*.app.example', false, false],
];

for (const [allowed, ours, theirs] of CASES) {
  test(`cors.origin ${JSON.stringify(allowed)} holds for HTTP and WebSocket alike`, async (t) => {
    const { mayOpen, mayAsk } = await asker(t, allowed);
    assert.deepEqual([await mayOpen(OURS), await mayAsk(OURS)], [ours, ours]);
    const isNull = allowed === true || allowed === '*';
    const others: [string, boolean][] = [
      ...[THEIRS, `${OURS}.evil.example`].map((origin): [string, boolean] => [origin, theirs]),
      ['null', isNull],
    ];
    for (const [origin, isLetIn] of others) {
      assert.deepEqual([await mayOpen(origin), await mayAsk(origin)], [isLetIn, isLetIn], origin);
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

/** The status that is answered to a page over HTTP and to one that opens a WebSocket, by whatever name. */
async function statuses(t: TestContext, config: CoordinatorConfigInput) {
  const { httpUrl } = await startServer(t, { config: { storage: 'memory:', ...config } });
  const { host: own } = new URL(httpUrl);
  const ask = async (headers: Record<string, string>) => {
    const path = headers.upgrade === undefined ? 'livez' : 'ws';
    const asking = request(`${httpUrl}/${path}`, { headers, agent: false }).end();
    const answered = Promise.race([once(asking, 'response'), once(asking, 'upgrade')]);
    const [answer]: IncomingMessage[] = await answered;
    answer?.destroy();
    return answer?.statusCode;
  };
  const upgrade = {
    ...{ connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' },
    'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
  };
  const demand = async (isLetIn: boolean, headers: Record<string, string>) => {
    const got = [await ask(headers), await ask({ ...headers, ...upgrade })];
    assert.deepEqual(got, isLetIn ? [200, 101] : [403, 403], JSON.stringify(headers));
  };
  return { own, demand };
}

for (const origin of [false, OURS] as const) {
  test(`its own origin is let in over both transports, with cors.origin ${origin}`, async (t) => {
    const { own, demand } = await statuses(t, { cors: { origin } });
    await demand(true, { origin: `http://${own}` });
    await demand(true, { origin: `https://${own}` });
    await demand(true, { origin: `http://localhost:3000`, host: 'LocalHost:3000' });
    await demand(true, { origin: 'http://127.0.0.1:80', host: '127.0.0.1' });
    for (const other of ['http://127.0.0.1:1', `ws://${own}`, own, 'http://localhost', '', 'x y']) {
      await demand(false, { origin: other, host: own });
    }
  });
}

test('by another name its own origin is let in where credentials are asked for', async (t) => {
  const [name, trustProxy] = ['sync.example:3000', '192.0.2.1'];
  const guarded = { mode: 'token-whitelist', tokens: ['t'] } as const;
  const known = await statuses(t, { cors: { origin: OURS }, trustProxy, auth: guarded });
  for (const scheme of ['http', 'https']) {
    await known.demand(true, { origin: `${scheme}://${name}`, host: name });
  }
  await known.demand(false, { origin: `http://${name}`, host: 'x@sync.example:3000' });
  await known.demand(false, { origin: `http://${name}`, host: '' });
  // Anybody can make a name of their own lead here.
  const open = await statuses(t, { cors: { origin: OURS }, trustProxy });
  await open.demand(false, { origin: `http://${name}`, host: name });
  await open.demand(true, { origin: 'http://192.0.2.7:3000', host: '192.0.2.7:3000' });
});

test('behind a proxy that is trusted its own origin is the one that the proxy has', async (t) => {
  const { demand } = await statuses(t, {
    ...{ cors: { origin: OURS }, trustProxy: 'loopback' },
    auth: { mode: 'token-whitelist', tokens: ['t'] },
  });
  const proxied = { 'x-forwarded-host': 'sync.example', 'x-forwarded-proto': 'https' };
  await demand(true, { origin: 'https://sync.example', ...proxied });
  await demand(false, { origin: 'http://sync.example', ...proxied });
});

const REFUSED: [status: number, asked: Record<string, string>, method?: string][] = [
  [400, { path: '/sync/%zz' }],
  [400, { path: `/sync/${'x'.repeat(600)}/changes` }],
  [404, { path: '/nowhere' }],
  [404, { path: '/sync/no/such/route' }],
  [404, { path: '/sync/changes' }, 'OPTIONS'],
  [404, { path: '/sync/changes' }, 'PUT'],
  [401, { path: '/sync/changes' }],
  [403, { path: '/sync/livez', host: 'other.example' }],
];

test('a page that may call can read whatever it is refused for; others can read nothing', async (t) => {
  for (const origin of [true, OURS, 'https://*.example']) {
    const { httpUrl } = await startServer(t, { config: { storage: 'memory:', cors: { origin } } });
    const ask = async (
      page: string,
      { path, ...headers }: Record<string, string>,
      method = 'GET',
    ) => {
      const options = { path, method, headers: { ...headers, origin: page }, agent: false };
      const [answer] = (await once(request(httpUrl, options).end(), 'response')) as [
        IncomingMessage,
      ];
      answer.resume();
      return answer;
    };
    for (const [status, asked, method] of REFUSED) {
      const { statusCode, headers } = await ask(OURS, asked, method);
      const what = `${method} ${asked.path?.slice(0, 30)}`;
      assert.equal(statusCode, status, what);
      assert.equal(headers['access-control-allow-origin'], OURS, what);
      assert.equal(headers['access-control-allow-credentials'], 'true', what);
      assert.match(headers.vary ?? '', /origin/i, what);
      if (origin !== OURS) continue;
      const told = await ask(THEIRS, asked, method);
      assert.equal(told.headers['access-control-allow-origin'], undefined, what);
    }
  }
});

test('what is no request is told to whatever page sent it, unless none may call', async (t) => {
  for (const [origin, told] of [
    [OURS, '*'],
    [false, undefined],
  ] as const) {
    const server = await startServer(t, { config: { storage: 'memory:', cors: { origin } } });
    for (const text of [
      'nonsense\r\n\r\n',
      `GET / HTTP/1.1\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`,
    ]) {
      const socket = await connectRaw(t, server);
      socket.write(text);
      const [answer] = await once(socket, 'data');
      assert.equal(/access-control-allow-origin: (.*)\r/i.exec(String(answer))?.[1], told);
    }
  }
});

test('a browser need not ask before every request', async (t) => {
  const { httpUrl } = await startServer(t, { config: { storage: 'memory:' } });
  const headers = { origin: OURS, 'access-control-request-method': 'POST' };
  const { headers: told } = await fetch(`${httpUrl}/changes`, { method: 'OPTIONS', headers });
  assert.equal(told.get('access-control-max-age'), '7200');
});
