/**
 * Two coordinators, and the way of one of them to PostgreSQL swallows everything: no byte comes
 * through, and no socket closes.
 */

import assert from 'node:assert/strict';
import { after, describe, type TestContext, test } from 'node:test';
import { compareHlc } from '../../../src/clock/hlc.ts';
import type { WireChangeSet } from '../../../src/protocol/schemas.ts';
import { startCoordinator, type TestCoordinator } from '../../../src/testing/coordinator.ts';
import { Device } from '../../../src/testing/device.ts';
import { type ReceivedMessage, TestClient } from '../../../src/testing/test-client.ts';
import { startPostgres } from '../../support/postgres.ts';
import { startPostgresProxy } from '../../support/postgres-proxy.ts';

const postgres = await startPostgres();
after(() => postgres.stop());

/** As in production, only shorter. What hangs fails by the time limit of its test. */
const TIMEOUTS = {
  connect_timeout: '2',
  query_timeout: '3000',
  idle_in_transaction_session_timeout: '1500',
};
const limit = { timeout: 40_000 };

async function startPair(t: TestContext) {
  const url = postgres.url(TIMEOUTS);
  const proxy = await startPostgresProxy(t, postgres);
  const near = await startCoordinator(t, { config: { storage: url } });
  const far = await startCoordinator(t, { config: { storage: proxy.through(url) } });
  const devices = [new Device(1), new Device(2), new Device(3)] as const;
  const [nearDevice, farDevice, listening] = devices;
  const nearWriter = await TestClient.join(near.wsUrl, nearDevice, t);
  const farWriter = await TestClient.join(far.wsUrl, farDevice, t);
  const listener = await TestClient.join(far.wsUrl, listening, t);
  const write = (device: Device, x: unknown) => device.write({ pk: [x], set: { x } });
  // From here on its connections are made, and its database is open.
  assert.equal((await farWriter.apply(write(farDevice, 'first'))).type, 'apply_result');
  assert.deepEqual(valuesOf(await listener.nextPush()), ['first']);
  return {
    ...{ proxy, near, far, nearWriter, farWriter, listener },
    fromNear: (x: unknown) => write(nearDevice, x),
    fromFar: (x: unknown) => write(farDevice, x),
  };
}

const valuesOf = (changeSets: readonly WireChangeSet[]): unknown[] =>
  changeSets.flatMap(({ changes }) =>
    changes.flatMap((change) => ('value' in change ? [change.value] : [])),
  );

async function pushes(listener: TestClient, count: number): Promise<WireChangeSet[]> {
  const changeSets: WireChangeSet[] = [];
  while (changeSets.length < count) changeSets.push(...(await listener.nextPush()));
  for (const [i, { hlc }] of changeSets.entries()) {
    const before = changeSets[i - 1];
    assert.ok(!before || compareHlc(before.hlc, hlc) < 0, 'positions rise strictly');
  }
  return changeSets;
}

function assertUnavailable(answer: ReceivedMessage): void {
  assert.equal(answer.code, 'STORE_UNAVAILABLE', JSON.stringify(answer));
  assert.equal(answer.fatal, false);
}

/** As a client does, until it is told something else than to try again. */
async function applyAgain(client: TestClient, changeSet: WireChangeSet): Promise<ReceivedMessage> {
  for (;;) {
    const answer = await client.apply(changeSet);
    if (answer.code !== 'STORE_UNAVAILABLE') return answer;
  }
}

const logOf = async ({ wsUrl }: TestCoordinator, t: TestContext): Promise<WireChangeSet[]> =>
  (await TestClient.join(wsUrl, new Device(1000), t)).changesSince();

// Each waits for time limits to pass: side by side, on schemas and proxies of their own.
describe('a coordinator that PostgreSQL cannot be reached from', { concurrency: true }, () => {
  for (const isForgotten of [false, true]) {
    const title = isForgotten
      ? 'does so, too, when its connections of before stay dead'
      : 'answers, keeps its sockets, and catches up by itself';
    test(title, limit, async (t) => {
      const { proxy, near, far, nearWriter, farWriter, listener, fromNear, fromFar } =
        await startPair(t);
      proxy.pause();
      const refused = fromFar('refused');
      const answering = farWriter.apply(refused);
      const posted = fetch(`${far.httpUrl}/changes`, {
        method: 'POST',
        headers: { 'X-Site-Id': new Device(4).siteId, 'content-type': 'application/json' },
        body: JSON.stringify([new Device(4).write({ pk: ['posted'], set: { x: 'posted' } })]),
      });
      const missed = Array.from({ length: 20 }, (_, i) => fromNear(i));
      for (const changeSet of missed) {
        assert.equal((await nearWriter.apply(changeSet)).type, 'apply_result');
      }
      assertUnavailable(await answering);
      const { status, headers } = await posted;
      assert.equal(status, 503);
      assert.ok(Number(headers.get('retry-after')) >= 1);
      // Its sockets are as alive as before.
      for (const client of [farWriter, listener]) await client.settled();
      if (isForgotten) proxy.resumeAnew();
      else proxy.resume();
      assert.deepEqual(
        valuesOf(await pushes(listener, 20)),
        Array.from({ length: 20 }, (_, i) => i),
      );
      assert.equal((await applyAgain(farWriter, refused)).type, 'apply_result');
      assert.deepEqual(valuesOf(await pushes(listener, 1)), ['refused']);
      const ids = (await logOf(near, t)).map(({ transactionId }) => transactionId);
      for (const { transactionId } of [...missed, refused]) {
        assert.equal(ids.filter((id) => id === transactionId).length, 1, transactionId);
      }
    });
  }

  test(
    'answers 50 clients that write within about one time limit of a statement',
    limit,
    async (t) => {
      const { proxy, far } = await startPair(t);
      const clients = await Promise.all(
        Array.from({ length: 50 }, async (_, i) => {
          const device = new Device(100 + i);
          return { device, client: await TestClient.join(far.wsUrl, device, t) };
        }),
      );
      // The first waits for its statement while the others gather behind it.
      const cut = proxy.pauseAt(/BEGIN/, 'before');
      const begunMs = performance.now();
      const answers = clients.map(async ({ device, client }, i) => {
        if (i > 0) await cut;
        const answer = await client.apply(device.write({ pk: [i], set: { x: i } }));
        return { answer, tookMs: performance.now() - begunMs };
      });
      for (const { answer, tookMs } of await Promise.all(answers)) {
        assertUnavailable(answer);
        assert.ok(Number(answer.retryAfterMs) > 0);
        // The store tries again for as long as `connect_timeout`: one statement, and a half.
        assert.ok(tookMs < 2 * Number(TIMEOUTS.query_timeout), `${tookMs} ms`);
      }
      proxy.resume();
      const again = clients.map(({ device, client }, i) =>
        applyAgain(client, device.write({ pk: [i], set: { x: i } })),
      );
      for (const { type } of await Promise.all(again)) assert.equal(type, 'apply_result');
    },
  );

  test('and that has the lock holds the others up only so long', limit, async (t) => {
    const { proxy, near, nearWriter, farWriter, listener, fromNear, fromFar } = await startPair(t);
    const cut = proxy.pauseAt(/BEGIN/, 'after');
    const late = fromFar('late');
    const answering = farWriter.apply(late);
    await cut;
    assert.equal((await nearWriter.apply(fromNear('meanwhile'))).type, 'apply_result');
    assertUnavailable(await answering);
    proxy.resume();
    assert.equal((await applyAgain(farWriter, late)).type, 'apply_result');
    assert.deepEqual(valuesOf(await pushes(listener, 2)), ['meanwhile', 'late']);
    assert.deepEqual(valuesOf(await logOf(near, t)), ['first', 'meanwhile', 'late']);
  });

  for (const when of ['before', 'after'] as const) {
    test(
      `acknowledges no commit that was cut off ${when} it arrived, and repeats none`,
      limit,
      async (t) => {
        const { proxy, near, nearWriter, farWriter, listener, fromNear, fromFar } =
          await startPair(t);
        const cut = proxy.pauseAt(/COMMIT\0/, when);
        const late = fromFar('late');
        const answering = farWriter.apply(late);
        await cut;
        assert.equal((await nearWriter.apply(fromNear('meanwhile'))).type, 'apply_result');
        assertUnavailable(await answering);
        proxy.resume();
        const again = await applyAgain(farWriter, late);
        assert.equal(again.applied, when === 'before' ? 1 : 0, JSON.stringify(again));
        const order = when === 'before' ? ['meanwhile', 'late'] : ['late', 'meanwhile'];
        assert.deepEqual(valuesOf(await pushes(listener, 2)), order);
        assert.deepEqual(valuesOf(await logOf(near, t)), ['first', ...order]);
      },
    );
  }
});
