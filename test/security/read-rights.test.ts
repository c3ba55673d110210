/** Whoever may not read is sent nothing: not asked for, not pushed, by no way and at no moment. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { SyncError } from '../../src/errors/sync-error.ts';
import type { ClientIdentity, CoordinatorHooks, SyncOperation } from '../../src/hooks/types.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { deferred } from '../hooks/support.ts';
import { aMoment } from '../support/moment.ts';
import { startServer } from '../support/server.ts';

const MINUTE_MS = 60_000;
const READS = ['get_changes', 'get_snapshot', 'resume_snapshot'];

/** A token is a user's name; what `mayNot` holds, as `user operation`, is refused. */
async function start(t: TestContext, hooks: CoordinatorHooks = {}) {
  const mayNot = new Set<string>();
  const asked: string[] = [];
  const forbid = (user: string, ...operations: string[]) => {
    for (const operation of operations) mayNot.add(`${user} ${operation}`);
  };
  const server = await startServer(t, {
    config: { storage: 'memory:' },
    hooks: {
      onAuthenticate: ({ token, siteId }) => ({ siteId, userId: token }) as ClientIdentity,
      onAuthorize(client, operation) {
        asked.push(`${client.userId} ${operation.type}`);
        return !mayNot.has(`${client.userId} ${operation.type}`);
      },
      ...hooks,
    },
  });
  const open = async (token: string, device: Device, databaseId?: string) => {
    const client = await TestClient.open(server.wsUrl);
    t.after(() => client.socket.terminate());
    client.send({ type: 'handshake', siteId: device.siteId, token, databaseId });
    return client;
  };
  const join = (token: string, { siteId }: Device, databaseId?: string) =>
    TestClient.join(
      server.wsUrl,
      databaseId === undefined ? { siteId, token } : { siteId, token, databaseId },
      t,
    );
  return { server, open, join, forbid, mayNot, asked };
}

const sent = ({ log }: TestClient) => log.map(({ type }) => type);

test('who may do nothing in a database has no session there, and it is not made', async (t) => {
  const { server, open } = await start(t, {
    onAuthorize: (client, { databaseId }) =>
      client.databaseId === client.userId && databaseId !== 'x',
  });
  const before = server.service.status().openStores;
  const stranger = await open('mallory', new Device(1), 'ann');
  const { code, fatal } = await stranger.next('error');
  assert.deepEqual([code, fatal, (await stranger.closed).code], ['NOT_AUTHORIZED', false, 1008]);
  assert.deepEqual(sent(stranger), ['error']);
  assert.equal(server.service.status().openStores, before);
});

test('hooks are asked about entering before onClientConnect is', async (t) => {
  const order: string[] = [];
  const { join } = await start(t, {
    onAuthorize: (_client, { type }) => Boolean(order.push(type)),
    onClientConnect: () => Boolean(order.push('connect')),
  });
  await join('ann', new Device(1));
  assert.deepEqual(order, ['get_changes', 'connect']);
});

test('who may only write is pushed nothing, and goes on writing', async (t) => {
  const { join, forbid } = await start(t);
  const [a, b, c] = [new Device(1), new Device(2), new Device(3)];
  forbid('sensor', ...READS);
  const sensor = await join('sensor', a);
  const [ben, cat] = [await join('ben', b), await join('cat', c)];
  for (let i = 0; i < 3; i++) {
    await ben.apply(b.write({ pk: [i], set: { x: 1 } }));
    assert.equal((await sensor.apply(a.write({ pk: [i], set: { y: 1 } }))).applied, 1);
  }
  while (cat.log.filter(({ type }) => type === 'push_changes').length < 2) await cat.nextPush();
  await sensor.settled();
  assert.ok(!sent(sensor).includes('push_changes'));
});

test('a right that is withdrawn ends pushes: at once by reauthorize', async (t) => {
  const { server, join, forbid, mayNot } = await start(t);
  const [a, b] = [new Device(1), new Device(2)];
  const [ann, ben] = [await join('ann', a), await join('ben', b)];
  await ben.apply(b.write({ pk: [1], set: { x: 1 } }));
  await ann.nextPush();
  forbid('ann', 'get_changes');
  assert.equal(await server.service.reauthorize(({ userId }) => userId === 'ann'), 1);
  const { code, fatal } = await ann.next('error');
  assert.deepEqual([code, fatal], ['NOT_AUTHORIZED', false]);
  const secret = b.write({ pk: [2], set: { x: 'secret' } });
  await ben.apply(secret);
  await ann.settled();
  assert.ok(!JSON.stringify(ann.log).includes('secret'));
  // It may write, and once it may read again it hears what it has missed.
  assert.equal((await ann.apply(a.write({ pk: [3], set: { x: 1 } }))).applied, 1);
  mayNot.clear();
  await server.service.reauthorize();
  const missed = await ann.nextPush();
  assert.deepEqual(
    missed.map(({ transactionId }) => transactionId),
    [secret.transactionId],
  );
});

test('a right that is withdrawn ends pushes: by its age, without anybody saying so', async (t) => {
  const { server, join, forbid } = await start(t);
  const [a, b] = [new Device(1), new Device(2)];
  const [ann, ben] = [await join('ann', a), await join('ben', b)];
  forbid('ann', ...READS, 'apply_changes');
  server.clock.advance(MINUTE_MS + 1);
  await ben.apply(b.write({ pk: [1], set: { x: 'secret' } }));
  assert.equal((await ann.next('error')).code, 'NOT_AUTHORIZED');
  assert.equal((await ann.closed).code, 1008, 'it may do nothing any more');
  assert.deepEqual(sent(ann), ['handshake_ack', 'error']);
});

test('while it is young it is not asked about, however much is pushed', async (t) => {
  const { join, asked } = await start(t);
  const [a, b] = [new Device(1), new Device(2)];
  const [ann, ben] = [await join('ann', a), await join('ben', b)];
  for (let i = 0; i < 5; i++) {
    await ben.apply(b.write({ pk: [i], set: { x: 1 } }));
    await ann.nextPush();
  }
  assert.deepEqual(
    asked.filter((question) => question.startsWith('ann')),
    ['ann get_changes'],
  );
});

test('a refused get_changes ends pushes, too', async (t) => {
  const { join, forbid } = await start(t);
  const [a, b] = [new Device(1), new Device(2)];
  const [ann, ben] = [await join('ann', a), await join('ben', b)];
  forbid('ann', 'get_changes');
  await assert.rejects(ann.changesSince(), /NOT_AUTHORIZED/);
  await ben.apply(b.write({ pk: [1], set: { x: 1 } }));
  await ann.settled();
  assert.ok(!sent(ann).includes('push_changes'));
});

test('newer credentials are asked about before anything more is pushed', async (t) => {
  const { server, join } = await start(t, {
    onAuthenticate: ({ token = '', siteId }) =>
      ({ siteId, userId: 'ann', metadata: { role: token } }) as ClientIdentity,
    onAuthorize: ({ metadata }, { type }) => type === 'apply_changes' || metadata?.role === 'staff',
  });
  const [a, b] = [new Device(1), new Device(2)];
  const [ann, ben] = [await join('staff', a), await join('staff', b)];
  ann.send({ type: 'authenticate', token: 'guest' });
  await ann.next('authenticated');
  await ben.apply(b.write({ pk: [1], set: { x: 'secret' } }));
  await ann.settled();
  assert.ok(!sent(ann).includes('push_changes'));
  ann.send({ type: 'authenticate', token: 'staff' });
  assert.equal((await ann.nextPush()).length, 1);
  assert.equal(server.service.sessions.size, 2);
});

test('nothing is sent between the doubt and the answer, be it yes in the end', async (t) => {
  let gate: Promise<void> | undefined;
  const { server, join } = await start(t, {
    async onAuthorize({ userId }, { type }) {
      if (userId === 'ann' && type === 'get_changes') await gate;
      return true;
    },
  });
  const [a, b] = [new Device(1), new Device(2)];
  const [ann, ben] = [await join('ann', a), await join('ben', b)];
  const { promise, resolve } = deferred();
  gate = promise;
  const asking = server.service.reauthorize();
  await ben.apply(b.write({ pk: [1], set: { x: 1 } }));
  await ann.settled();
  assert.ok(!sent(ann).includes('push_changes'));
  resolve();
  await asking;
  assert.equal((await ann.nextPush()).length, 1);
});

test('when nobody can say, nothing is pushed: the session ends, to try again', async (t) => {
  let isBroken = false;
  const { server, join } = await start(t, {
    onAuthorize({ userId }) {
      if (isBroken && userId === 'ann') throw new Error('broken');
      return true;
    },
  });
  const [a, b] = [new Device(1), new Device(2)];
  const [ann, ben] = [await join('ann', a), await join('ben', b)];
  isBroken = true;
  server.clock.advance(MINUTE_MS + 1);
  await ben.apply(b.write({ pk: [1], set: { x: 1 } }));
  assert.equal((await ann.next('error')).code, 'HOOK_FAILED');
  assert.equal((await ann.closed).code, 1013);
  assert.ok(!sent(ann).includes('push_changes'));
});

test('who is asked to wait is pushed to later, on the same session', async (t) => {
  let refusals = 0;
  const { server, join } = await start(t, {
    onAuthorize({ userId }) {
      if (userId === 'ann' && refusals-- > 0) {
        throw new SyncError('RATE_LIMITED', 'later', { retryAfterMs: 1 });
      }
      return true;
    },
  });
  const [a, b] = [new Device(1), new Device(2)];
  const [ann, ben] = [await join('ann', a), await join('ben', b)];
  refusals = 2;
  server.clock.advance(MINUTE_MS + 1);
  await ben.apply(b.write({ pk: [1], set: { x: 1 } }));
  assert.equal((await ann.nextPush()).length, 1);
});

const MUCH = 'x'.repeat(1_000_000);

test('an answer that is being sent does not outlive the right, over WebSocket', async (t) => {
  const { server, join, forbid } = await start(t);
  const b = new Device(2);
  const ben = await join('ben', b);
  for (let i = 0; i < 40; i++) await ben.apply(b.write({ pk: [i], set: { text: MUCH } }));
  for (const [i, type] of ['get_changes', 'get_snapshot'].entries()) {
    const user = `reader ${i}`;
    const reader = await join(user, new Device(3 + i));
    reader.socket.pause();
    reader.send({ type, requestId: 'r' });
    while (server.service.queuedBytes() === 0) await aMoment();
    forbid(user, ...READS);
    await server.service.reauthorize();
    reader.socket.resume();
    const refused = await reader.nextWhere(
      ({ type, requestId }) => type === 'error' && requestId === 'r',
    );
    assert.equal(refused.code, 'NOT_AUTHORIZED');
    await reader.settled();
    const chars = reader.log.reduce((sum, message) => sum + JSON.stringify(message).length, 0);
    assert.ok(chars < 35 * MUCH.length, `${type}: ${chars} characters were sent`);
  }
});

test('an answer that is being sent does not outlive the right, over HTTP', async (t) => {
  const { server, join, forbid } = await start(t);
  const b = new Device(2);
  const ben = await join('ben', b);
  for (let i = 0; i < 40; i++) await ben.apply(b.write({ pk: [i], set: { text: MUCH } }));
  const response = await fetch(`${server.httpUrl}/snapshot`, {
    headers: { 'x-site-id': new Device(1).siteId, authorization: 'Bearer ann' },
  });
  const reader = response.body?.getReader();
  assert.ok(reader !== undefined);
  await reader.read();
  forbid('ann', ...READS);
  await server.service.reauthorize();
  let end = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    end = (end + Buffer.from(value).toString()).slice(-200);
  }
  assert.match(end, /\n\{"error":\{"code":"NOT_AUTHORIZED".*\}\}\n$/);
});

test('a page over HTTP is not sent when the right was withdrawn while it was read', async (t) => {
  const isReading = deferred();
  const mayGoOn = deferred();
  let isForbidden = false;
  const operations: SyncOperation[] = [];
  const { server, join } = await start(t, {
    onAuthorize(client, operation) {
      operations.push(operation);
      return client.userId !== 'ann' || !isForbidden;
    },
    async onBeforeSendChanges(_client, changes) {
      isReading.resolve();
      await mayGoOn.promise;
      return changes;
    },
  });
  const b = new Device(2);
  const ben = await join('ben', b);
  await ben.apply(b.write({ pk: [1], set: { x: 'secret' } }));
  const answer = fetch(`${server.httpUrl}/changes`, {
    headers: { 'x-site-id': new Device(1).siteId, authorization: 'Bearer ann' },
  });
  await isReading.promise;
  isForbidden = true;
  await server.service.reauthorize();
  mayGoOn.resolve();
  const response = await answer;
  assert.equal(response.status, 403);
  assert.ok(!(await response.text()).includes('secret'));
});

for (const end of ['its right ends', 'a filter begins to hide that']) {
  for (const way of ['HTTP', 'WebSocket']) {
    test(`what a batch has lost against is not told when ${end} while the answer is made: over ${way}`, async (t) => {
      const isByRight = end === 'its right ends';
      const isEve = ({ userId }: ClientIdentity) => userId === 'eve';
      const ended = deferred();
      let state: 'before' | 'losing' | 'ending' | 'ended' = 'before';
      const endSoon = async () => {
        if (state !== 'losing') return;
        state = 'ending';
        // A turn has 1,000 of the 8,000 changes: the filter is asked within these turns, and the
        // losses are named after them.
        const turns = isByRight ? 4 : 30;
        for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
        state = 'ended';
        await (isByRight ? server.service.reauthorize() : server.service.hooksChanged());
        ended.resolve();
      };
      const { server, join } = await start(t, {
        onAuthorize(client, { type }) {
          return !isByRight || !isEve(client) || type !== 'get_changes' || state !== 'ended';
        },
        // It is stored, and nothing has been asked for the answer yet.
        onAfterApplyChanges: () => void endSoon(),
        ...(!isByRight && {
          onBeforeSendChanges: (client, sets) => (isEve(client) && state === 'ended' ? [] : sets),
        }),
      });
      const [ann, eve] = [new Device(1), new Device(2)];
      const rows = (write: { set: { x: string } } | { delete: true }) =>
        Array.from({ length: 8_000 }, (_, i) => ({ pk: [i], ...write }));
      const losing = eve.write(...rows({ set: { x: 'mine' } }));
      ann.wallTime = eve.wallTime + 1000;
      const winning = rows(isByRight ? { set: { x: 'secret' } } : { delete: true });
      await (await join('ann', ann)).apply(ann.write(...winning));
      const hers = way === 'WebSocket' ? await join('eve', eve) : undefined;
      state = 'losing';
      const answer =
        hers === undefined
          ? await fetch(`${server.httpUrl}/changes`, {
              method: 'POST',
              headers: { 'x-site-id': eve.siteId, authorization: 'Bearer eve' },
              body: JSON.stringify([losing]),
            }).then((response) => response.text())
          : JSON.stringify(await hers.apply(losing));
      await ended.promise;
      assert.match(answer, /"applied":8000/);
      assert.doesNotMatch(answer, /secret|conflicting|beaten|overtaken/);
    });
  }
}
