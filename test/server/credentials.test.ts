/** Credentials over time: they run out, are renewed, and are revoked. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { SyncError } from '../../src/errors/sync-error.ts';
import type { ClientIdentity, CoordinatorHooks } from '../../src/hooks/types.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { deferred } from '../hooks/support.ts';
import { aMoment } from '../support/moment.ts';
import { startServer } from '../support/server.ts';

const device = new Device(1);
const HOUR_MS = 3_600_000;

/** Tokens are `user`, or `user until <milliseconds from the start>`. */
async function start(t: TestContext, hooks: CoordinatorHooks = {}) {
  const startedAt = Date.now();
  const server = await startServer(t, {
    config: { storage: 'memory:' },
    hooks: {
      onAuthenticate({ token = '', siteId }) {
        if (token === 'down') throw new SyncError('OVERLOADED', 'nobody can tell');
        const [, userId, until] = /^(\w+)(?: until (\d+))?$/.exec(token) ?? [];
        if (userId === undefined || siteId === undefined) throw new Error('no');
        return { siteId, userId, expiresAt: until && startedAt + Number(until) } as ClientIdentity;
      },
      ...hooks,
    },
  });
  const join = (token: string, { siteId } = device) =>
    TestClient.join(server.wsUrl, { siteId, token }, t);
  return { server, join, startedAt };
}

test('the ack says until when; an idle session ends then, not for good', async (t) => {
  const { server, join, startedAt } = await start(t);
  const client = await join(`ann until ${HOUR_MS}`);
  assert.equal(client.log[0]?.expiresAt, startedAt + HOUR_MS);
  assert.equal((await join('ben')).log[0]?.expiresAt, undefined);
  server.clock.advance(HOUR_MS + 1);
  const { code, fatal } = await client.next('error');
  assert.deepEqual([code, fatal, (await client.closed).code], ['AUTH_EXPIRED', false, 4001]);
});

test('what is asked after the time is refused at once, and not done', async (t) => {
  const { server, join } = await start(t);
  const client = await join(`ann until ${HOUR_MS}`);
  const other = await join('ben', new Device(2));
  server.clock.advance(HOUR_MS + 1);
  client.send({ type: 'apply_changes', changes: [device.write({ pk: [1], set: { x: 1 } })] });
  assert.equal((await client.next('error')).code, 'AUTH_EXPIRED');
  await client.closed;
  assert.deepEqual(await other.changesSince(), []);
});

test('newer credentials prolong the session, under the new identity', async (t) => {
  const seen: ClientIdentity[] = [];
  const { server, join, startedAt } = await start(t, {
    onAuthorize: (client) => Boolean(seen.push(client)),
  });
  const client = await join(`ann until ${HOUR_MS}`);
  client.send({ type: 'authenticate', token: `ann until ${3 * HOUR_MS}`, requestId: 'renew' });
  // What comes with it in one packet takes effect after it.
  client.send({ type: 'get_changes' });
  const { requestId, expiresAt } = await client.next('authenticated');
  assert.deepEqual([requestId, expiresAt], ['renew', startedAt + 3 * HOUR_MS]);
  await client.next('changes');
  assert.equal(seen.at(-1)?.expiresAt, startedAt + 3 * HOUR_MS);
  server.clock.advance(2 * HOUR_MS);
  await client.settled();
  await client.changesSince();
  server.clock.advance(2 * HOUR_MS);
  assert.equal((await client.next('error')).code, 'AUTH_EXPIRED');
});

test('credentials that are refused, or of another user, end the session', async (t) => {
  const { join } = await start(t);
  for (const token of ['not known!', 'ben']) {
    const client = await join('ann');
    client.send({ type: 'authenticate', token });
    const { code, fatal } = await client.next('error');
    assert.deepEqual([code, fatal, (await client.closed).code], ['AUTH_FAILED', true, 4001]);
  }
});

test('when nobody can tell, the session goes on as it was', async (t) => {
  const { join } = await start(t);
  const client = await join('ann');
  client.send({ type: 'authenticate', token: 'down', requestId: 'r' });
  const { code, fatal, requestId } = await client.next('error');
  assert.deepEqual([code, fatal, requestId], ['OVERLOADED', false, 'r']);
  await client.changesSince();
});

test('credentials that name no user take over no session; as a newcomer their owner may be let in', async (t) => {
  const { join } = await start(t, {
    onAuthenticate: ({ siteId }) => ({ siteId }) as ClientIdentity,
  });
  const client = await join('mine');
  client.send({ type: 'authenticate', token: 'of anybody' });
  const { code, fatal } = await client.next('error');
  assert.deepEqual([code, fatal, (await client.closed).code], ['AUTH_EXPIRED', false, 4001]);
  await (await join('mine')).settled();
});

test('it is no handshake, and needs one', async (t) => {
  const { server } = await start(t);
  const client = await TestClient.open(server.wsUrl);
  t.after(() => client.socket.terminate());
  client.send({ type: 'authenticate', token: 'ann' });
  assert.equal((await client.next('error')).code, 'NOT_AUTHENTICATED');
});

test('credentials that have run out already are told so, over both transports', async (t) => {
  const { server } = await start(t);
  const client = await TestClient.open(server.wsUrl);
  client.send({ type: 'handshake', siteId: device.siteId, token: 'ann until 0' });
  const { code, fatal } = await client.next('error');
  assert.deepEqual([code, fatal, (await client.closed).code], ['AUTH_EXPIRED', false, 4001]);
  const headers = { 'x-site-id': device.siteId, authorization: 'Bearer ann until 0' };
  const response = await fetch(`${server.httpUrl}/changes`, { headers });
  assert.equal(response.status, 401);
  assert.match(await response.text(), /AUTH_EXPIRED/);
});

test('credentials that are good until a time which is none are refused', async (t) => {
  const times = ['Infinity', '-Infinity', 'NaN', '1e308', '-1e308', '1e16'];
  const { server } = await start(t, {
    onAuthenticate: ({ token, siteId = new Uint8Array(16) }) => ({
      siteId,
      expiresAt: Number(token),
    }),
  });
  for (const token of times) {
    const client = await TestClient.open(server.wsUrl);
    client.send({ type: 'handshake', siteId: device.siteId, token });
    const { code, fatal } = await client.next('error');
    assert.deepEqual([code, fatal, (await client.closed).code], ['AUTH_FAILED', true, 4001], token);
    const headers = { 'x-site-id': device.siteId, authorization: `Bearer ${token}` };
    const response = await fetch(`${server.httpUrl}/changes`, { headers });
    assert.equal(response.status, 401, token);
  }
  const client = await TestClient.join(server.wsUrl, { ...device, token: '4e12' }, t);
  assert.equal(client.log[0]?.expiresAt, 4e12);
});

test('a time beyond what timers can count is no reason to end at once', async (t) => {
  const { join, server } = await start(t);
  const client = await join(`ann until ${1000 * 365 * 24 * HOUR_MS}`);
  server.clock.advance(60 * 24 * HOUR_MS);
  await client.changesSince();
});

test('a body that arrives after the time stores nothing', async (t) => {
  const { server, join } = await start(t);
  const body = JSON.stringify([device.write({ pk: [1], set: { x: 1 } })]);
  const posted = request(`${server.httpUrl}/changes`, {
    method: 'POST',
    headers: {
      'x-site-id': device.siteId,
      authorization: `ann until ${HOUR_MS}`,
      'content-length': body.length,
    },
  });
  posted.flushHeaders();
  posted.write(body.slice(0, 10));
  const isAdmitted = async () => {
    const text = await (await fetch(`${server.httpUrl}/metrics`)).text();
    return /^sync_auth_attempts_total\{transport="http"\} 1$/m.test(text);
  };
  while (!(await isAdmitted())) await aMoment();
  server.clock.advance(HOUR_MS + 1);
  posted.end(body.slice(10));
  const [response] = await once(posted, 'response');
  assert.equal(response.statusCode, 401);
  response.resume();
  assert.deepEqual(await (await join('ben', new Device(2))).changesSince(), []);
});

test('a snapshot does not outlive its token', async (t) => {
  const { server, join } = await start(t);
  const ben = new Device(2);
  const author = await join('ben', ben);
  const text = 'x'.repeat(1_000_000);
  for (let i = 0; i < 40; i++) await author.apply(ben.write({ pk: [i], set: { text } }));
  const response = await fetch(`${server.httpUrl}/snapshot`, {
    headers: { 'x-site-id': device.siteId, authorization: `ann until ${HOUR_MS}` },
  });
  const reader = response.body?.getReader();
  assert.ok(reader !== undefined);
  await reader.read();
  server.clock.advance(HOUR_MS + 1);
  let end = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    end = (end + Buffer.from(value).toString()).slice(-200);
  }
  assert.match(end, /\n\{"error":\{"code":"AUTH_EXPIRED".*\}\}\n$/);
});

test('revoke ends the sessions and requests it names within a second, and nobody else’s', async (t) => {
  const { server, join } = await start(t);
  const author = await join('cat', new Device(9));
  const text = 'x'.repeat(1_000_000);
  for (let i = 0; i < 20; i++) await author.apply(device.write({ pk: [i], set: { text } }));
  const ann = await join('ann');
  // Reads nothing, with much to read.
  const stalled = await join('ann', new Device(3));
  stalled.socket.pause();
  stalled.send({ type: 'get_snapshot' });
  const ben = await join('ben', new Device(4));
  await ben.settled();

  const startedAt = performance.now();
  assert.equal(
    server.service.revoke(({ userId }) => userId === 'ann'),
    2,
  );
  assert.equal((await ann.next('error')).code, 'AUTH_EXPIRED');
  assert.equal((await ann.closed).code, 4001);
  while (server.service.sessions.size > 2) await aMoment();
  t.diagnostic(`gone after ${Math.round(performance.now() - startedAt)} ms`);
  await ben.changesSince();
  assert.throws(
    () =>
      server.service.revoke(() => {
        throw new Error('broken');
      }),
    /broken/,
  );
  await ben.settled();
});

test('revoke reaches who is on the way in', async (t) => {
  let asked = () => {};
  const isAsked = new Promise<void>((resolve) => {
    asked = resolve;
  });
  let let_ = () => {};
  const { server } = await start(t, {
    onClientConnect: () => {
      asked();
      return new Promise((resolve) => {
        let_ = () => resolve(true);
      });
    },
  });
  const client = await TestClient.open(server.wsUrl);
  client.send({ type: 'handshake', siteId: device.siteId, token: 'ann' });
  await isAsked;
  assert.equal(
    server.service.revoke(() => true),
    1,
  );
  let_();
  assert.equal((await client.closed).code, 4001);
  assert.equal(server.service.sessions.size, 0);
});

test('revoke reaches who is being looked at, over both transports', async (t) => {
  let looking = deferred();
  let verdict = deferred();
  const { server } = await start(t, {
    async onAuthenticate({ siteId }) {
      looking.resolve();
      await verdict.promise;
      return { siteId, userId: 'ann' } as ClientIdentity;
    },
  });
  const revokeMeanwhile = async () => {
    await looking.promise;
    server.service.revoke(({ userId }) => userId === 'ann');
    verdict.resolve();
  };
  const client = await TestClient.open(server.wsUrl);
  client.send({ type: 'handshake', siteId: device.siteId });
  await revokeMeanwhile();
  assert.equal((await client.next('error')).code, 'AUTH_EXPIRED');
  assert.equal((await client.closed).code, 4001);

  [looking, verdict] = [deferred(), deferred()];
  const answer = fetch(`${server.httpUrl}/changes`, { headers: { 'x-site-id': device.siteId } });
  await revokeMeanwhile();
  assert.match(await (await answer).text(), /AUTH_EXPIRED/);

  // What was said before somebody was looked at does not concern him.
  const later = await TestClient.join(server.wsUrl, { siteId: device.siteId }, t);
  await later.changesSince();
});

test('what runs out, or is revoked, while a hook looks at a batch is not stored', async (t) => {
  for (const end of ['expiry', 'revoke']) {
    for (const transport of ['websocket', 'http']) {
      const looking = deferred();
      const verdict = deferred();
      const { server, join } = await start(t, {
        async onBeforeApplyChanges({ userId }, changes) {
          if (userId === 'ann') {
            looking.resolve();
            await verdict.promise;
          }
          return { approved: changes, rejected: [] };
        },
      });
      const changes = [device.write({ pk: [1], set: { x: 1 } })];
      let refusal: Promise<unknown>;
      if (transport === 'websocket') {
        const client = await join(`ann until ${HOUR_MS}`);
        client.send({ type: 'apply_changes', changes });
        refusal = client.closed;
      } else {
        refusal = fetch(`${server.httpUrl}/changes`, {
          method: 'POST',
          headers: { 'x-site-id': device.siteId, authorization: `ann until ${HOUR_MS}` },
          body: JSON.stringify(changes),
        }).catch(() => undefined);
      }
      await looking.promise;
      if (end === 'expiry') server.clock.advance(HOUR_MS + 1);
      else server.service.revoke(({ userId }) => userId === 'ann');
      verdict.resolve();
      await refusal;
      // Of the same database, and after it in the queue.
      const other = await join('ben', new Device(2));
      const mine = new Device(2).write({ pk: [2], set: { x: 1 } });
      assert.equal((await other.apply(mine)).applied, 1, `${end}, ${transport}`);
      const headers = { 'x-site-id': new Device(3).siteId, authorization: 'carl' };
      const stored = await (await fetch(`${server.httpUrl}/changes`, { headers })).text();
      assert.ok(stored.includes(mine.transactionId));
      assert.ok(!stored.includes(changes[0]?.transactionId ?? ''), `${end}, ${transport}`);
    }
  }
});

test('a request is answered that its credentials are no good any more, whatever holds it', async (t) => {
  for (const end of ['expiry', 'revoke']) {
    const looking = deferred();
    const verdict = deferred();
    const { server } = await start(t, {
      async onBeforeApplyChanges(_client, changes) {
        looking.resolve();
        await verdict.promise;
        return { approved: changes, rejected: [] };
      },
    });
    const answered = fetch(`${server.httpUrl}/changes`, {
      method: 'POST',
      headers: { 'x-site-id': device.siteId, authorization: `ann until ${HOUR_MS}` },
      body: JSON.stringify([device.write({ pk: [1], set: { x: 1 } })]),
    });
    await looking.promise;
    if (end === 'expiry') server.clock.advance(HOUR_MS + 1);
    else server.service.revoke(({ userId }) => userId === 'ann');
    // The hook has not answered, and heeds no signal.
    const answer = await answered;
    const { error } = (await answer.json()) as { error: { code: string } };
    assert.deepEqual([answer.status, error.code], [401, 'AUTH_EXPIRED'], end);
    verdict.resolve();
    const headers = { 'x-site-id': new Device(3).siteId, authorization: 'carl' };
    const stored = await (await fetch(`${server.httpUrl}/changes`, { headers })).text();
    assert.ok(!stored.includes('"x"'), end);
  }
});

test('credentials are looked at again when the hooks are others: who has none ends, the others stay', async (t) => {
  let known = ['ann', 'ben'];
  const asked: (string | undefined)[] = [];
  const { server, join } = await start(t, {
    onAuthenticate({ siteId, token = '', known: client }) {
      if (client !== undefined) asked.push(client.userId);
      if (token === 'ticket') {
        // Good for once.
        if (client === undefined && known.includes('ticket')) throw new Error('used');
        known.push('ticket');
        return client ?? ({ siteId, userId: 'ticket' } as ClientIdentity);
      }
      if (!known.includes(token)) throw new Error('no');
      return { siteId, userId: token } as ClientIdentity;
    },
  });
  const [ann, ben] = [await join('ann'), await join('ben', new Device(2))];
  const carl = await join('ticket', new Device(3));
  known = known.filter((user) => user !== 'ann');
  await server.service.hooksChanged();
  assert.equal((await ann.next('error')).code, 'AUTH_EXPIRED');
  assert.equal((await ann.closed).code, 4001);
  await ben.changesSince();
  await carl.changesSince();
  assert.deepEqual(asked.toSorted(), ['ann', 'ben', 'ticket']);
  known = [];
  const batch = device.write({ pk: [1], set: { x: 1 } });
  // What is sent while it is looked at waits for the answer.
  const rechecked = server.service.hooksChanged();
  ben.send({ type: 'apply_changes', changes: [batch] });
  await rechecked;
  assert.equal((await ben.closed).code, 4001);
  assert.deepEqual(await carl.changesSince(), []);
});

test('who is on the way in when the hooks are replaced is looked at by the new ones', async (t) => {
  let isKnown = true;
  let [asked, answer] = [deferred(), deferred()];
  const waitsIn = { hook: '' };
  const wait = async (hook: string) => {
    if (waitsIn.hook !== hook) return;
    asked.resolve();
    await answer.promise;
  };
  const { server, join } = await start(t, {
    async onAuthenticate({ siteId, token }) {
      const isGood = isKnown;
      await wait(`authenticate ${token}`);
      if (!isGood) throw new Error('no');
      return { siteId, userId: 'ann' } as ClientIdentity;
    },
    async onAuthorize() {
      await wait('authorize');
      return true;
    },
    async onClientConnect() {
      await wait('connect');
      return true;
    },
  });
  const replaceMeanwhile = async () => {
    await asked.promise;
    isKnown = false;
    await server.service.hooksChanged();
    answer.resolve();
  };
  for (const hook of ['authenticate x', 'authorize', 'connect']) {
    isKnown = true;
    [asked, answer] = [deferred(), deferred()];
    waitsIn.hook = hook;
    const client = await TestClient.open(server.wsUrl);
    client.send({ type: 'handshake', siteId: device.siteId, token: 'x' });
    await replaceMeanwhile();
    const types = client.log.map(({ type }) => type);
    await client.closed;
    assert.ok(!types.includes('handshake_ack'), hook);
    assert.equal(server.service.sessions.size, 0, hook);
  }
  // Newer credentials for a session.
  isKnown = true;
  waitsIn.hook = '';
  const session = await join('old');
  [asked, answer] = [deferred(), deferred()];
  waitsIn.hook = 'authenticate new';
  session.send({ type: 'authenticate', token: 'new' });
  await asked.promise;
  isKnown = false;
  const replaced = server.service.hooksChanged();
  answer.resolve();
  await replaced;
  assert.equal((await session.closed).code, 4001);
});

test('what has begun over HTTP goes no further when the new hooks know its token no more', async (t) => {
  let isKnown = true;
  const { server, join } = await start(t, {
    onAuthenticate({ siteId, token }) {
      if (!isKnown && token === 'ann') throw new Error('no');
      return { siteId, userId: token } as ClientIdentity;
    },
  });
  const writer = new Device(2);
  const author = await join('ben', writer);
  const text = 'x'.repeat(1_000_000);
  for (let i = 0; i < 40; i++) await author.apply(writer.write({ pk: [i], set: { text } }));
  const headers = { 'x-site-id': device.siteId, authorization: 'ann' };
  const response = await fetch(`${server.httpUrl}/snapshot`, { headers });
  const reader = response.body?.getReader();
  assert.ok(reader !== undefined);
  await reader.read();
  const late = device.write({ pk: ['late'], set: { x: 1 } });
  const body = JSON.stringify([late]);
  const posted = request(`${server.httpUrl}/changes`, {
    method: 'POST',
    headers: { ...headers, 'content-length': body.length },
  });
  posted.flushHeaders();
  posted.write(body.slice(0, 10));
  const isAdmitted = async () => {
    const metrics = await (await fetch(`${server.httpUrl}/metrics`)).text();
    return /^sync_auth_attempts_total\{transport="http"\} 2$/m.test(metrics);
  };
  while (!(await isAdmitted())) await aMoment();
  isKnown = false;
  await server.service.hooksChanged();
  posted.end(body.slice(10));
  const [answer] = await once(posted, 'response');
  assert.equal(answer.statusCode, 401);
  answer.resume();
  let end = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    end = (end + Buffer.from(value).toString()).slice(-200);
  }
  assert.match(end, /\n\{"error":\{"code":"AUTH_EXPIRED".*\}\}\n$/);
});

test('nobody comes as the coordinator itself, nor as nobody', async (t) => {
  const { server, join } = await start(t);
  const first = await join('ann');
  await first.apply(device.write({ pk: [1], set: { x: 1 } }));
  for (const siteId of [String(first.log[0]?.serverSiteId), new Device(0).siteId]) {
    const client = await TestClient.open(server.wsUrl);
    client.send({ type: 'handshake', siteId, token: 'mallory' });
    assert.equal((await client.next('error')).code, 'AUTH_FAILED');
    assert.equal((await client.closed).code, 4001);
    const headers = { 'x-site-id': siteId, authorization: 'mallory' };
    const asked = [
      fetch(`${server.httpUrl}/changes`, { headers }),
      fetch(`${server.httpUrl}/snapshot`, { headers }),
      fetch(`${server.httpUrl}/changes`, { headers, method: 'POST', body: '[]' }),
    ];
    for (const answer of await Promise.all(asked)) assert.equal(answer.status, 401);
  }
});

test('who goes is who came, whatever credentials came after', async (t) => {
  const came: ClientIdentity[] = [];
  const gone: ClientIdentity[] = [];
  const { server, join } = await start(t, {
    onClientConnect: (client) => Boolean(came.push(client)),
    onClientDisconnect: (client) => {
      gone.push(client);
    },
  });
  const client = await join('ann');
  client.send({ type: 'authenticate', token: `ann until ${HOUR_MS}` });
  await client.next('authenticated');
  await client.close();
  await server.stop();
  assert.equal(gone.length, 1);
  assert.equal(gone[0], came[0]);
});
