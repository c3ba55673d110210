import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { compareHlc } from '../../src/clock/hlc.ts';
import { hlcSite, siteIdToText } from '../../src/clock/site-id.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { judgeChanges } from '../../src/hooks/verdicts/judge-changes.ts';
import type { ChangeSet } from '../../src/protocol/types.ts';
import { assertConverged } from '../../src/testing/assertions.ts';
import { withoutNulls } from '../../src/testing/contents.ts';
import { startCoordinator } from '../../src/testing/coordinator.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { plainDevice } from '../support/plain-device.ts';
import { Replica } from '../support/replica.ts';
import { startDeployment } from './deployment.ts';
import { changesIn, contentsOf, tombstonesIn } from './look.ts';
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
  const rows = withoutNulls(author.contents());
  assert.deepEqual(rows, other.contents(), 'the others have heard nothing of it');
  assert.deepEqual(rows, { '["main","t","1"]': { x: 'fine', y: 'kept' } });
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

/** What a refused change could do to others, each under `onReject: revert`. */
async function startRefusing(t: TestContext) {
  const coordinator = await startCoordinator(t, {
    config: { hooks: { onReject: 'revert' } },
    hooks: {
      onBeforeApplyChanges: (_client, sets) =>
        judgeChanges(sets, (change) => {
          const isBad = change.type === 'column' ? change.value === 'bad' : change.pk[0] === 'keep';
          return isBad ? { reason: 'bad' } : true;
        }),
    },
  });
  const later = () => coordinator.clock.advance(1000);
  return { coordinator, later };
}

test('an edit made before a refused change, and sent after it, wins on every device', async (t) => {
  const { coordinator, later } = await startRefusing(t);
  const [ann, ben, eve] = [
    await plainDevice(t, coordinator),
    await plainDevice(t, coordinator),
    await plainDevice(t, coordinator),
  ];
  await ann.write('t', ['keep'], { a: 1, b: 1 });
  await assertConverged(coordinator, [ann, ben, eve]);
  await ben.goOffline();
  later();
  const late = [
    ben.write('t', ['keep'], { a: 'ben', c: 'ben' }),
    ben.write('t', ['new'], { a: 'ben' }),
  ];
  later();
  await eve.write('t', ['keep'], { a: 'bad', c: 'bad' });
  await eve.write('t', ['new'], { a: 'bad', b: 'bad' });
  await assertConverged(coordinator, [ann, eve]);
  await ben.comeBack();
  await Promise.all(late);
  await assertConverged(coordinator, [ann, ben, eve]);
  assert.deepEqual(ann.rows('t'), [
    [['keep'], { a: 'ben', b: 1, c: 'ben' }],
    [['new'], { a: 'ben' }],
  ]);
});

test('an edit made before a refused deletion, and sent after it, reaches who was refused', async (t) => {
  const { coordinator, later } = await startRefusing(t);
  const [ann, ben, eve] = [
    await plainDevice(t, coordinator),
    await plainDevice(t, coordinator),
    await plainDevice(t, coordinator),
  ];
  await ann.write('t', ['keep'], { a: 1, b: 1 });
  await assertConverged(coordinator, [ann, ben, eve]);
  await ben.goOffline();
  later();
  const late = ben.write('t', ['keep'], { b: 'ben', c: 'ben' });
  later();
  await eve.delete('t', ['keep']);
  await ben.comeBack();
  await late;
  await assertConverged(coordinator, [ann, ben, eve]);
  assert.deepEqual(eve.rows('t'), [[['keep'], { a: 1, b: 'ben', c: 'ben' }]]);
});

test('a row deleted before a refused change to it, and told after it, is gone where that was made, too', async (t) => {
  const { coordinator, later } = await startRefusing(t);
  const [ann, ben, eve] = [
    await plainDevice(t, coordinator),
    await plainDevice(t, coordinator),
    await plainDevice(t, coordinator),
  ];
  await ann.write('t', [1], { a: 1, b: 1 });
  await assertConverged(coordinator, [ann, ben, eve]);
  await ben.goOffline();
  later();
  const late = ben.delete('t', [1]);
  later();
  await eve.write('t', [1], { a: 'bad' });
  await ben.comeBack();
  await late;
  await assertConverged(coordinator, [ann, ben, eve]);
  assert.deepEqual(eve.rows('t'), []);
});

test('what was refused is dated ahead, and holds up nobody’s edits, also when it is sent without end', async (t) => {
  const { coordinator, later } = await startRefusing(t);
  const [ann, ben] = [await plainDevice(t, coordinator), await plainDevice(t, coordinator)];
  const eve = await plainDevice(t, coordinator, { skewMs: AHEAD_MS });
  await ann.write('t', [1], { a: 1 });
  await assertConverged(coordinator, [ann, ben, eve]);
  for (let i = 0; i < 3; i++) {
    await eve.write('t', [1], { a: 'bad' });
    later();
    const { applied } = await ben.write('t', [1], { a: i });
    assert.equal(applied, 1);
    await assertConverged(coordinator, [ann, ben, eve]);
    assert.deepEqual(eve.rows('t'), [[[1], { a: i }]]);
  }
});

test('a refused change leaves nothing to anybody else: no change, no deletion of what never was', async (t) => {
  const join = await start(t, refusing, 'revert');
  const [a, b] = [new Device(1), new Device(2)];
  const [anna, ben] = [await join(a), await join(b)];
  await anna.apply(a.write({ pk: [1], set: { x: 1 } }));
  const before = (await ben.changesSince()).at(-1)?.hlc;
  const refused = [
    a.write({ pk: [1], set: { x: 'rude' } }),
    a.write({ pk: [2], set: { x: 'rude' } }),
    a.write({ pk: [1], delete: true }),
  ];
  await anna.apply(...refused);
  assert.deepEqual(changesIn(await ben.changesSince(before)), []);
  const chunks = (await ben.snapshot()) as Chunk[];
  assert.deepEqual(tombstonesIn(chunks), []);
  assert.deepEqual(contentsOf(chunks), { 't [1] x': 1 });
  assert.equal(changesIn(await anna.changesSince(before)).length > 0, true);
});

test('a refused change that equals what is stored is answered with nothing, and still beats nobody', async (t) => {
  const join = await start(
    t,
    (client, sets) =>
      siteIdToText(client.siteId) === new Device(1).siteId
        ? { approved: [], rejected: [] }
        : { approved: sets, rejected: [] },
    'revert',
  );
  const [a, b] = [new Device(1, 1_700_000_005_000), new Device(2)];
  const [anna, ben] = [await join(a), await join(b)];
  const written = b.write({ pk: [1], set: { x: 'same' } });
  await ben.apply(written);
  const author = new Replica();
  const before = (await anna.changesSince()).at(-1)?.hlc;
  const pushedBack = { ...a.write({ pk: [1], set: { x: 'same' } }) };
  author.apply([written, pushedBack]);
  await anna.apply(written, pushedBack);
  assert.deepEqual(await anna.changesSince(before), []);
  await ben.apply(b.write({ pk: [1], set: { x: 'other' } }));
  author.apply(await anna.changesSince(before));
  assert.deepEqual(author.contents(), { '["main","t","1"]': { x: 'other' } });
});

test('what a site was told for itself it is told again after a snapshot, and pushes back in vain', async (t) => {
  for (const foreignAuthors of ['known', 'accept'] as const) {
    const config = {
      storage: 'memory:',
      sync: { foreignAuthors },
      hooks: { onReject: 'revert' as const },
    };
    const server = await startDeployment(t, { config, hooks: { onBeforeApplyChanges: refusing } });
    const [a, b] = [new Device(1, 1_700_000_005_000), new Device(2)];
    const anna = await TestClient.join(server.wsUrl, a, t);
    const ben = await TestClient.join(server.wsUrl, b, t);
    await ben.apply(b.write({ pk: [1], set: { x: 'fine' } }));
    const refused = a.write({ pk: [1], set: { x: 'rude' } });
    await anna.apply(refused);
    const author = new Replica();
    author.apply([refused]);
    const chunks = (await anna.snapshot()) as Chunk[];
    author.load(chunks);
    const told = await anna.changesSince(String(chunks[0]?.hlc));
    author.apply(told);
    assert.deepEqual(author.contents(), { '["main","t","1"]': { x: 'fine' } });
    const { applied, rejected } = await anna.apply(...told);
    assert.deepEqual([applied, rejected], [0, undefined], foreignAuthors);
    const late = await ben.apply(b.write({ pk: [1], set: { x: 'late' } }));
    assert.equal(late.applied, 1, 'what was pushed back beats nobody');
  }
});

test('what a site alone was told becomes nobody else’s, also where a hook has something to say to it', async (t) => {
  /** Deletes softly, and takes nothing rude. */
  const softly: CoordinatorHooks['onBeforeApplyChanges'] = (_client, changeSets) =>
    judgeChanges(changeSets, (change) => {
      if (change.type === 'column') return change.value === 'rude' ? { reason: 'rude' } : true;
      return { ...change, type: 'column', column: 'gone', value: true };
    });
  for (const foreignAuthors of ['known', 'accept'] as const) {
    const config = {
      storage: 'memory:',
      sync: { foreignAuthors },
      hooks: { onReject: 'revert' as const },
    };
    const server = await startDeployment(t, { config, hooks: { onBeforeApplyChanges: softly } });
    const a = new Device(1);
    const anna = await TestClient.join(server.wsUrl, a, t);
    await anna.apply(a.write({ pk: [1], set: { x: 'fine' } }));
    await anna.apply(a.write({ pk: [2], set: { x: 'rude' } }));
    const told = await anna.changesSince();
    assert.deepEqual(
      changesIn(told).map(({ type }) => type),
      ['delete'],
      'it has no such row',
    );
    const { applied, rejected } = await anna.apply(...told);
    assert.deepEqual([applied, rejected], [0, undefined], foreignAuthors);
    const ben = await TestClient.join(server.wsUrl, new Device(2), t);
    const other = new Replica();
    other.apply(await ben.changesSince());
    assert.deepEqual(other.contents(), { '["main","t","1"]': { x: 'fine' } });
  }
});

test('with onReject: keep, the default, nothing is written for a refused change', async (t) => {
  const join = await start(t, refusing);
  const a = new Device(1);
  const anna = await join(a);
  await anna.apply(a.write({ pk: [1], set: { x: 'rude' } }));
  assert.deepEqual(await anna.changesSince(), []);
});
