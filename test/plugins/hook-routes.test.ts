import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { siteIdToText } from '../../src/clock/site-id.ts';
import { defineHooks, encodeHlc, type HookContext, type HookDefinition } from '../../src/index.ts';
import { Device, siteBytes } from '../../src/testing/device.ts';
import { type ReceivedMessage, TestClient } from '../../src/testing/test-client.ts';
import { startServer } from '../support/server.ts';

const TOKEN = 'a-long-secret-token';
const SITE = siteIdToText(siteBytes(1));
const AS_CLIENT = { authorization: `Bearer ${TOKEN}`, 'x-site-id': SITE };
const auth = { mode: 'token-whitelist', tokens: [TOKEN] } as const;

const withContext = (name: string, work: (context: HookContext) => void | Promise<void>) =>
  defineHooks({
    name,
    async setup(_options, context) {
      await work(context);
      return {};
    },
  });

const online = (version: string) =>
  withContext('Online (beta)', ({ routes, service, status }) => {
    routes((app, { clientOf }) => {
      app.get('/who', async (req) => ({
        version,
        you: clientOf(req).userId,
        online: service.clients().map(({ client }) => client.userId),
      }));
      app.post('/echo', async ({ body }) => body);
      app.get('/broken', async () => {
        throw new Error('a secret of the module');
      });
    });
    routes(
      (app) => {
        app.get('/open', async () => ({ open: true }));
      },
      { open: true },
    );
    status(() => ({ version, online: service.clients().length }));
  });

test('a module has routes of its own, for whom onAuthenticate accepts unless it says otherwise', async (t) => {
  const server = await startServer(t, { config: { auth, hooks: [online('1')] } });
  const url = `${server.httpUrl}/hooks/online-beta`;
  const stranger = await fetch(`${url}/who`);
  assert.equal(stranger.status, 401);
  assert.deepEqual(await stranger.json(), {
    ok: false,
    error: { code: 'NOT_AUTHENTICATED', message: 'X-Site-Id is required' },
  });
  const wrong = { ...AS_CLIENT, authorization: 'Bearer wrong' };
  assert.equal((await fetch(`${url}/who`, { headers: wrong })).status, 401);
  assert.deepEqual(await (await fetch(`${url}/open`)).json(), { open: true });

  for (const path of ['/hooks/online-beta/who', '/hooks/online-beta/open', '/status', '/nothing']) {
    const asked = await fetch(`${server.httpUrl}${path}`, { method: 'OPTIONS' });
    assert.equal(asked.status, 404, path);
    assert.deepEqual(await asked.json(), {
      ok: false,
      error: { code: 'NOT_FOUND', message: 'there is no such route' },
    });
  }

  await TestClient.join(server.wsUrl, { siteId: SITE, token: TOKEN }, t);
  const origin = 'https://app.example';
  const answer = await fetch(`${url}/who`, { headers: { ...AS_CLIENT, origin } });
  const { you, online: who } = (await answer.json()) as { you: string; online: string[] };
  assert.match(you, /^token:/);
  assert.deepEqual(who, [you]);
  // As every other answer of the coordinator.
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  assert.equal(answer.headers.get('access-control-allow-origin'), origin);
  const status = (await (await fetch(`${server.httpUrl}/status`)).json()) as {
    data: { hooks?: unknown };
  };
  assert.deepEqual(status.data.hooks, { 'Online (beta)': { version: '1', online: 1 } });
});

test('bodies are the module’s to read, within limits; what fails in it stays in it', async (t) => {
  const server = await startServer(t, { config: { auth, hooks: [online('1')] } });
  const url = `${server.httpUrl}/hooks/online-beta`;
  const post = (body: string) =>
    fetch(`${url}/echo`, {
      ...{ method: 'POST', body },
      headers: { ...AS_CLIENT, 'content-type': 'application/json' },
    });
  assert.deepEqual(await (await post('{"a":[1]}')).json(), { a: [1] });
  assert.equal((await post('{')).status, 400);
  assert.equal((await post(JSON.stringify('x'.repeat(2 ** 20)))).status, 413);
  const broken = await fetch(`${url}/broken`, { headers: AS_CLIENT });
  assert.equal(broken.status, 500);
  assert.doesNotMatch(await broken.text(), /secret/);
  for (const path of ['nowhere', '../changes/who', '%2e%2e/who']) {
    assert.equal((await fetch(`${url}/${path}`, { headers: AS_CLIENT })).status, 404, path);
  }
  assert.equal((await fetch(`${server.httpUrl}/hooks/other/who`)).status, 404);
  // A database of that name is none the worse for it.
  const changes = await fetch(`${server.httpUrl}/hooks/changes`, { headers: AS_CLIENT });
  assert.equal(changes.status, 200);
});

test('a reload puts other routes in their place; a request under way is finished by the old ones', async (t) => {
  let entered = () => {};
  const inside = new Promise<void>((resolve) => {
    entered = resolve;
  });
  let letGo = () => {};
  const released = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const waiting = (answer: string) =>
    withContext('waits', ({ routes }) =>
      routes(
        (app) => {
          app.get('/', async () => {
            if (answer === 'old') {
              entered();
              await released;
            }
            return { answer };
          });
        },
        { open: true },
      ),
    );
  const server = await startServer(t, { config: { hooks: [waiting('old')] } });
  const url = `${server.httpUrl}/hooks/waits/`;
  const old = fetch(url);
  await inside;
  const { config } = server;
  const modules = [waiting('new')];
  await server.reload({ ...config, hooks: { ...config.hooks, modules } });
  assert.deepEqual(await (await fetch(url)).json(), { answer: 'new' });
  letGo();
  assert.deepEqual(await (await old).json(), { answer: 'old' });
  await server.reload({ ...config, hooks: { ...config.hooks, modules: [] } });
  assert.equal((await fetch(url)).status, 404);
});

test('routes that are wrong, or in one place, are refused by name', async (t) => {
  const broken = withContext('broken', ({ routes }) =>
    routes((app) => {
      app.get('/a', async () => 1);
      app.get('/a', async () => 2);
    }),
  );
  await assert.rejects(startServer(t, { config: { hooks: [broken] } }), {
    name: 'HookLoadError',
    message: /^hook module broken: its routes are wrong: .*already declared/,
  });
  const same = (name: string) =>
    withContext(name, ({ routes }) => routes(() => undefined, { open: true }));
  await assert.rejects(startServer(t, { config: { hooks: [same('a b'), same('A-B')] } }), {
    name: 'HookLoadError',
    message: 'hook module A-B: its routes are at hooks/a-b, as those of a b',
  });
});

test('onReady may read and write before anybody is served, also at a reload; if it fails so does that', async (t) => {
  const seeds = (pk: number, fails = false) =>
    withContext('seeds', ({ onReady, read, service }) => {
      if (pk === 1) assert.throws(() => service.clients(), /not set up yet: see onReady/);
      onReady(async () => {
        await service.write('default', [{ table: 'settings', pk: [pk], set: { theme: 'dark' } }]);
        assert.ok(await read.row('default', { table: 'settings', pk: [pk] }));
        if (fails) throw new Error('no good');
      });
    });
  const failed = {
    name: 'HookLoadError',
    message: 'hook module seeds: its onReady failed: no good',
  };
  await assert.rejects(startServer(t, { config: { hooks: [seeds(1, true)] } }), failed);
  const server = await startServer(t, { config: { hooks: [seeds(1)] } });
  const { config, service } = server;
  const reload = (module: HookDefinition<undefined>) =>
    server.reload({ ...config, hooks: { ...config.hooks, modules: [module] } });
  await assert.rejects(reload(seeds(2, true)), failed);
  await reload(seeds(3));
  const { position } = await service.write('default', []);
  const lease = await service.acquire('default');
  assert.equal(lease.manager.logLength, 3);
  assert.equal(lease.manager.position, encodeHlc(position));
  lease.release();
});

test('a module sees who has a session, and what software they say that they are', async (t) => {
  let context: HookContext | undefined;
  const seer = withContext('seer', (given) => {
    context = given;
    given.status(() => ({ online: given.service.clients().length }));
  });
  const server = await startServer(t, { config: { hooks: [seer] } });
  const { siteId } = new Device(1);
  const client = { name: 'notes', version: '1.2' };
  await TestClient.join(server.wsUrl, { siteId, client }, t);
  await TestClient.join(server.wsUrl, new Device(2), t);
  const seen = context?.service.clients().map((it) => ['software' in it, it.software]);
  assert.deepEqual(seen, [
    [true, client],
    [false, undefined],
  ]);
});

test('what a module writes reaches every client, past the hooks of clients, and is durable', async (t) => {
  let context: HookContext | undefined;
  const writer = defineHooks({
    name: 'writer',
    setup(_options, given) {
      context = given;
      return {
        onBeforeApplyChanges: () => {
          throw new Error('asked about the server’s own');
        },
      };
    },
  });
  const server = await startServer(t, { config: { hooks: [writer] } });
  const client = await TestClient.join(server.wsUrl, { siteId: SITE }, t);
  const { write } = context?.service ?? assert.fail('not set up');
  const { position, applied } = await write('default', [
    { table: 'notes', pk: ['a', 1n], set: { text: 'hello', blob: Uint8Array.of(1, 2) } },
    { table: 'notes', pk: ['b'], delete: true },
  ]);
  assert.equal(applied, 2);
  const pushed = (await client.next('push_changes')) as ReceivedMessage;
  const [changeSet] = pushed.changeSets as { changes: { value: unknown; pk: unknown[] }[] }[];
  assert.deepEqual(
    changeSet?.changes.map(({ pk, value }) => [pk, value]),
    [
      [['a', { __bigint: '1' }], 'hello'],
      [['a', { __bigint: '1' }], { __bin: 'AQI=' }],
    ],
  );
  assert.deepEqual(await context?.read.position('default'), position);
  for (const [rows, message] of [
    [
      [{ table: 'notes', pk: [1], set: { at: new Date(0) } }],
      'rows[0].set.at: holds what is no JSON',
    ],
    [
      [{ table: 'notes', pk: [1], set: { a: 1 }, delete: true }],
      'rows[0]: has both set and delete',
    ],
    [[{ table: 'notes', pk: [1] }], 'rows[0]: needs set, or delete: true'],
    [[{ table: '', pk: [1], set: {} }], 'rows[0].table: must be the name of a table'],
    [
      [{ table: 'notes', pk: [Number.NaN], set: { a: 1 } }],
      /^rows\[0\]\.pk\[0\]: is a number beyond/,
    ],
    [[{ table: 'notes', pk: [1], set: { a: undefined } }], 'rows[0].set.a: is missing'],
  ] as const) {
    await assert.rejects(write('default', rows as never), { code: 'MESSAGE_ERROR', message });
  }
  await assert.rejects(write('no/database', []), { code: 'INVALID_DATABASE_ID' });
});

test('a stranger who sends half a body, or takes no answer, holds nobody up', async (t) => {
  const server = await startServer(t, {
    config: {
      auth,
      hooks: [online('1')],
      limits: { requestTimeoutMs: 300, handshakeTimeoutMs: 300 },
    },
  });
  const { hostname, port } = new URL(server.httpUrl);
  const half = request({
    ...{ hostname, port, method: 'POST', path: '/sync/hooks/online-beta/echo' },
    headers: { ...AS_CLIENT, 'content-type': 'application/json', 'content-length': 100 },
  });
  t.after(() => half.destroy());
  const ended = new Promise<number | undefined>((resolve) => {
    half.once('response', ({ statusCode }) => resolve(statusCode));
    half.once('error', () => resolve(undefined));
  });
  half.write('{"a":');
  assert.equal(await ended, 408);
});
