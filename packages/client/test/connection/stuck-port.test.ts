/** A replica that takes nothing: what the server sends must not pile up. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connection } from '../../src/connection/connection.ts';
import { FakeWorld, settle } from '../support/fake-world.ts';

/** A mebi of characters. */
const LARGE = 'x'.repeat(2 ** 20);

/** A connection whose replica takes what comes when it is told to. */
async function startLive() {
  const world = new FakeWorld();
  const taken: number[] = [];
  let release = () => {};
  const stored = () =>
    new Promise<void>((resolve) => {
      release = resolve;
    });
  let isStuck = false;
  const connection = new Connection(
    { url: 'ws://server/sync/ws', siteId: 'site' },
    {
      position: () => 'position',
      checkpoint: () => undefined,
      async receive(changeSets) {
        if (isStuck) await stored();
        taken.push(changeSets.length);
      },
      receiveChunk: async () => {},
      startOver: async () => {},
    },
    world,
  );
  const serve = async () => {
    await settle();
    world.socket.open();
    world.socket.tell({ type: 'handshake_ack', serverSiteId: 'server' });
    await settle();
    world.socket.tell({ type: 'changes', changeSets: [], hasMore: false });
    await settle();
  };
  connection.connect();
  await serve();
  taken.length = 0;
  isStuck = true;
  const push = (mebis = 1) =>
    world.socket.tell({ type: 'push_changes', changeSets: Array(mebis).fill(LARGE) });
  const unstick = () => {
    isStuck = false;
    release();
  };
  return { world, connection, serve, push, unstick, taken };
}

test('a replica that takes nothing for a while is sent no more, and what was missed is asked for when it takes it', async () => {
  const { world, connection, serve, push, unstick, taken } = await startLive();
  push();
  for (let i = 0; i < 9; i++) push();
  await settle();
  assert.equal(connection.status.state, 'live', 'it may only be slow');
  world.timeMs += 11_000;
  push();
  await settle();
  assert.equal(connection.status.state, 'waiting');
  assert.match(connection.status.error?.message ?? '', /could not be stored/);
  assert.equal(world.socket.isClosed, true);
  // Another try opens nothing as long as the replica is at work.
  for (let i = 0; i < 10; i++) await world.tick();
  assert.equal(world.sockets.length, 1);
  assert.match(connection.status.error?.message ?? '', /stored/);
  unstick();
  await settle();
  while (world.sockets.length === 1) await world.tick();
  assert.deepEqual(taken, [1], 'the rest of what had come was dropped');
  await serve();
  assert.equal(connection.status.state, 'live');
});

test('a little may wait as long as it likes, and much for a moment', async () => {
  const { world, connection, push, unstick, taken } = await startLive();
  push();
  push();
  world.timeMs += 11_000;
  push();
  await settle();
  assert.equal(connection.status.state, 'live');
  unstick();
  await settle();
  assert.deepEqual(taken, [1, 1, 1]);
});
