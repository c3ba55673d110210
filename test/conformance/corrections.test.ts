import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { compareHlc } from '../../src/clock/hlc.ts';
import { hlcSite } from '../../src/clock/site-id.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { TestClient } from '../support/client.ts';
import { Device } from '../support/device.ts';
import { Replica } from '../support/replica.ts';
import { startServer } from '../support/server.ts';
import { changesIn } from './look.ts';
import type { Chunk } from './transport.ts';

const AHEAD_MS = 50_000;

async function start(
  t: TestContext,
  onBeforeApplyChanges: CoordinatorHooks['onBeforeApplyChanges'],
) {
  const hooks = { onBeforeApplyChanges };
  const server = await startServer(t, { config: { storage: 'memory:' }, hooks });
  return (device: Device) => TestClient.join(server.wsUrl, device, t);
}

const rewriting: CoordinatorHooks['onBeforeApplyChanges'] = async (_client, changeSets) => ({
  approved: changeSets.map((changeSet) => ({
    ...changeSet,
    changes: changeSet.changes.map((change) =>
      change.type === 'column' && change.value === 'rude' ? { ...change, value: '****' } : change,
    ),
  })),
  rejected: [],
});

for (const [clock, wallTime] of [
  ['whose clock is right', () => Date.now() - 1000],
  ['whose clock is ahead', () => Date.now() + AHEAD_MS],
] as const) {
  test(`a change that a hook rewrote reaches its author, ${clock}, as the coordinator’s own`, async (t) => {
    const join = await start(t, rewriting);
    const a = new Device(1, wallTime());
    const [anna, ben] = [await join(a), await join(new Device(2))];
    const written = a.write({ pk: [1], set: { x: 'rude', y: 'fine' } });
    const author = new Replica();
    author.apply([written]);
    await anna.apply(written);
    const correction = await anna.changesSince();
    author.apply(correction);
    const [change] = changesIn(correction);
    const [original] = written.changes;
    assert.ok(change?.type === 'column' && original !== undefined, 'there is a correction');
    assert.deepEqual([change.column, change.value], ['x', '****']);
    assert.ok(compareHlc(change.hlc, original.hlc) > 0, 'it wins against what it answers');
    const [header] = (await anna.snapshot()) as Chunk[];
    assert.equal(correction[0]?.siteId, header?.siteId);
    assert.equal(hlcSite(change.hlc), header?.siteId);

    const other = new Replica();
    other.apply(await ben.changesSince());
    assert.deepEqual(author.contents(), other.contents(), 'both read the same');
  });
}
