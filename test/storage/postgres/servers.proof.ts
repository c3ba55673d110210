/** Whole coordinators on one PostgreSQL: real sockets, and outages. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, type TestContext, test } from 'node:test';
import { siteIdToText } from '../../../src/clock/site-id.ts';
import { startCoordinator, type TestCoordinator } from '../../../src/testing/coordinator.ts';
import { TestClient } from '../../../src/testing/test-client.ts';
import { plainDevice, RefusedByCoordinator } from '../../support/plain-device.ts';
import { startPostgres } from '../../support/postgres.ts';

const postgres = await startPostgres();
after(() => postgres.stop());

const startNode = (t: TestContext, storage: string): Promise<TestCoordinator> =>
  startCoordinator(t, { config: { storage } });

const listenOn = (t: TestContext, { wsUrl }: TestCoordinator): Promise<TestClient> =>
  TestClient.join(wsUrl, { siteId: siteIdToText(randomBytes(16)) }, t);

/** The values of a column that a listener is pushed, until there are so many. */
async function valuesPushed(client: TestClient, count: number): Promise<unknown[]> {
  const values: unknown[] = [];
  while (values.length < count) {
    for (const { changes } of await client.nextPush()) {
      values.push(...changes.flatMap((change) => ('value' in change ? [change.value] : [])));
    }
  }
  return values;
}

test('what is written through one is pushed by the others', async (t) => {
  const url = postgres.url();
  const [one, two, three] = [
    await startNode(t, url),
    await startNode(t, url),
    await startNode(t, url),
  ];
  const listeners = [await listenOn(t, one), await listenOn(t, two), await listenOn(t, three)];
  const writers = [await one.device(), await two.device(), await three.device()];
  await Promise.all(
    writers.map(async (writer, node) => {
      for (let i = 0; i < 20; i++)
        await writer.write('notes', [`${node}.${i}`], { n: node * 20 + i });
    }),
  );
  for (const listener of listeners) {
    const values = await valuesPushed(listener, 60);
    // Each once, and those of one writer in their order.
    assert.deepEqual(
      values.toSorted((a, b) => Number(a) - Number(b)),
      Array.from({ length: 60 }, (_, i) => i),
    );
    for (const node of [0, 1, 2]) {
      const own = values.filter((n) => Math.floor(Number(n) / 20) === node);
      assert.deepEqual(
        own,
        Array.from({ length: 20 }, (_, i) => node * 20 + i),
      );
    }
  }
});

test('an outage: sockets stay, applies are answered, and everything arrives afterwards', async (t) => {
  const url = postgres.url();
  const [one, two] = [await startNode(t, url), await startNode(t, url)];
  const [beside, listener] = [await listenOn(t, one), await listenOn(t, two)];
  const writer = await plainDevice(t, one);
  await writer.write('notes', ['before'], { n: 0 });
  assert.deepEqual(await valuesPushed(listener, 1), [0]);
  await postgres.server.stop();
  await assert.rejects(writer.write('notes', ['during'], { n: 1 }), (error) => {
    assert.ok(error instanceof RefusedByCoordinator);
    assert.equal(error.code, 'STORE_UNAVAILABLE');
    assert.equal(error.isFatal, false);
    return true;
  });
  const response = await fetch(`${one.httpUrl}/changes`, {
    headers: { 'X-Site-Id': siteIdToText(randomBytes(16)) },
  });
  assert.equal(response.status, 503);
  assert.ok(Number(response.headers.get('retry-after')) >= 1);
  await postgres.server.start();
  await writer.write('notes', ['after'], { n: 2 });
  assert.deepEqual(await valuesPushed(listener, 1), [2]);
  assert.deepEqual(await valuesPushed(beside, 2), [0, 2]);
  assert.equal(writer.closeCode, undefined);
});
