/** A batch that is merged in turns: what may have come to an end meanwhile. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SyncError } from '../../src/errors/sync-error.ts';
import { Device } from '../../src/testing/device.ts';
import { openEngine } from '../support/engine.ts';
import { createTestWorld } from '../support/world.ts';

const rowsOf = (device: Device, count: number) =>
  device.write(...Array.from({ length: count }, (_, i) => ({ pk: [i], set: { a: 1 } })));
const other = () => new Device(2).write({ pk: ['other'], set: { a: 1 } });

/** An engine in which others have their turn for the second time, and with that something ends. */
async function openEnding() {
  const state = { turns: 0, isEnded: false };
  const world = createTestWorld();
  const { yield: turn } = world;
  world.yield = async () => {
    await turn();
    if (++state.turns === 2) state.isEnded = true;
  };
  const refuse = () => {
    if (state.isEnded) throw new SyncError('AUTH_EXPIRED', 'it has ended');
  };
  return { ...(await openEngine({ world })), state, refuse };
}

for (const when of ['admit', 'goOn'] as const) {
  test(`what ${when} refuses while it is merged is not stored; what came with it is`, async () => {
    const { manager, state, refuse } = await openEnding();
    const [refused, stored] = await Promise.allSettled([
      manager.apply([rowsOf(new Device(1), 10_000)], { [when]: refuse }),
      manager.apply([other()]),
    ]);
    assert.ok(refused?.status === 'rejected' && refused.reason.code === 'AUTH_EXPIRED');
    assert.equal(stored?.status, 'fulfilled');
    assert.equal(manager.logLength, 1);
    // Where nobody waits for it, the rest of the work is not done; credentials matter at the end.
    assert.equal(state.turns < 10, when === 'goOn', `${state.turns} turns`);
  });
}

test('a small batch is merged in one turn, whether its sender waits for the answer or not', async () => {
  const { manager } = await openEngine();
  const goOn = () => {
    throw new Error('it has gone');
  };
  assert.equal((await manager.apply([other()], { goOn })).applied, 1);
});
