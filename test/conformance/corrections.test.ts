import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { compareHlc } from '../../src/clock/hlc.ts';
import { hlcSite } from '../../src/clock/site-id.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { Device } from '../../src/testing/device.ts';
import { Replica } from '../../src/testing/replica.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import type { ChangeSet } from '../../src/wire/types.ts';
import { startDeployment } from './deployment.ts';
import { changesIn } from './look.ts';
import type { Chunk } from './transport.ts';

const AHEAD_MS = 50_000;

async function start(
  t: TestContext,
  onBeforeApplyChanges: CoordinatorHooks['onBeforeApplyChanges'],
  onReject: 'keep' | 'revert' = 'keep',
) {
  const config = { storage: 'memory:', hooks: { onReject } };
  const server = await startDeployment(t, { config, hooks: { onBeforeApplyChanges } });
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

/** Refuses change sets that say or take away something rude. */
const refusing: CoordinatorHooks['onBeforeApplyChanges'] = async (_client, changeSets) => {
  const isRude = ({ changes }: ChangeSet) =>
    changes.some((change) => change.type === 'delete' || change.value === 'rude');
  const rejected = changeSets.filter(isRude).map(() => ({ reason: 'rude' }));
  return { approved: changeSets.filter((changeSet) => !isRude(changeSet)), rejected };
};

test('with onReject: revert a refused change is taken back where it was made, also later', async (t) => {
  const join = await start(t, refusing, 'revert');
  const a = new Device(1, Date.now() + AHEAD_MS);
  const [anna, ben] = [await join(a), await join(new Device(2))];
  const author = new Replica();
  const fine = a.write({ pk: [1], set: { x: 'fine', y: 'kept' } });
  const watermark = (await anna.apply(fine)) && (await anna.changesSince()).at(-1)?.hlc;
  const refused = [
    a.write({ pk: [1], set: { x: 'rude', z: 'rude' } }),
    a.write({ pk: [2], set: { x: 'rude', y: 'rude' } }),
  ];
  author.apply([fine, ...refused]);
  const result = await anna.apply(...refused);
  assert.deepEqual([result.applied, (result.rejected as unknown[]).length], [0, 4]);
  await anna.close();

  // Offline meanwhile, it hears of it when it asks for what is new.
  const again = await join(a);
  const corrections = await again.changesSince(watermark);
  author.apply(corrections);
  const other = new Replica();
  other.apply(await ben.changesSince());
  const rows = author.contents();
  assert.deepEqual(rows, other.contents());
  assert.deepEqual(rows, { '["main","t","1"]': { x: 'fine', y: 'kept', z: null } });
  assert.ok(corrections.every(({ siteId }) => siteId !== a.siteId));
  // Sent again, it is answered with the same, which is known already.
  await again.apply(...refused);
  assert.deepEqual(await again.changesSince(corrections.at(-1)?.hlc), []);
});

test('a refused delete brings the row back, newer than the delete', async (t) => {
  const join = await start(t, refusing, 'revert');
  const a = new Device(1);
  const [anna, ben] = [await join(a), await join(new Device(2))];
  const author = new Replica();
  const written = a.write({ pk: [1], set: { x: 1, y: 2 } });
  const deleted = a.write({ pk: [1], delete: true });
  author.apply([written, deleted]);
  await anna.apply(written);
  await anna.apply(deleted);
  author.apply(await anna.changesSince());
  assert.deepEqual(Object.values(author.contents()), [{ x: 1, y: 2 }]);
  const other = new Replica();
  other.apply(await ben.changesSince());
  assert.deepEqual(author.contents(), other.contents());
});

test('a refused change that lost anyway is answered by nothing: what won is on its way', async (t) => {
  const join = await start(t, refusing, 'revert');
  const [a, b] = [new Device(1), new Device(2, 1_700_000_001_000)];
  const [anna, ben] = [await join(a), await join(b)];
  await ben.apply(b.write({ pk: [1], set: { x: 'newer' } }));
  const before = (await anna.changesSince()).at(-1)?.hlc;
  await anna.apply(a.write({ pk: [1], set: { x: 'rude' } }));
  assert.deepEqual(await anna.changesSince(before), []);
});

test('with onReject: keep, the default, nothing is written for a refused change', async (t) => {
  const join = await start(t, refusing);
  const a = new Device(1);
  const anna = await join(a);
  await anna.apply(a.write({ pk: [1], set: { x: 'rude' } }));
  assert.deepEqual(await anna.changesSince(), []);
});
