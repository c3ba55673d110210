import assert from 'node:assert/strict';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { eachTransport, RELAYING } from './each-transport.ts';
import { changesIn, contentsOf, tombstonesIn, transactionIds } from './look.ts';
import type { Refusal, SyncTransport } from './transport.ts';

const NOTHING = { applied: 0, skipped: 0, conflicts: 0, transactions: 0 };

/** A device that begins some time after another. */
function later(number: number, device: Device, ms = 1000): Device {
  return new Device(number, device.wallTime + ms);
}

eachTransport(
  'an empty batch is accepted and changes nothing',
  async ({ join }) => {
    const anna = await join(new Device(1));
    assert.deepEqual(await anna.apply(), NOTHING);
    const empty = new Device(1).write();
    assert.deepEqual(await anna.apply(empty), { ...NOTHING, transactions: 1 });
    assert.deepEqual(await anna.changesSince(), []);
  },
  RELAYING,
);

eachTransport(
  'a batch is answered with what became of it',
  async ({ join }) => {
    const [a, b] = [new Device(1), later(2, new Device(1))];
    const [anna, ben] = [await join(a), await join(b)];
    const made = a.migrate('create_table', 't');
    const first = a.write({ pk: [1], set: { x: 1, y: 1 } });
    const result = { applied: 3, skipped: 0, conflicts: 0, transactions: 2 };
    assert.deepEqual(await anna.apply(made, first), result);
    const standing = made.schemaMigrations.map(({ hlc }) => hlc);
    const again = { ...NOTHING, skipped: 3, transactions: 2, standing };
    assert.deepEqual(await anna.apply(made, first), again, 'known exactly');
    const older = a.write({ pk: [1], set: { x: 0 } });
    const newer = b.write({ pk: [1], set: { x: 2 } });
    assert.deepEqual(await ben.apply(newer), { ...NOTHING, applied: 1, transactions: 1 });
    const { conflicting, ...counts } = await anna.apply(older);
    assert.deepEqual(counts, { ...NOTHING, conflicts: 1, transactions: 1 });
    assert.deepEqual(conflicting, [
      { schema: 'main', table: 't', column: 'x', pk: [1], hlc: newer.hlc, value: 2 },
    ]);
    assert.deepEqual(contentsOf(await anna.snapshot()), { 't [1] x': 2, 't [1] y': 1 });
  },
  RELAYING,
);

eachTransport(
  'what lost or was known already is not sent to anybody',
  async ({ join }) => {
    const a = new Device(1);
    const b = later(2, a);
    const [anna, carla] = [await join(a), await join(new Device(3))];
    const [older, newer] = [
      a.write({ pk: [1], set: { x: 1 } }),
      b.write({ pk: [1], set: { x: 2 } }),
    ];
    const both = a.write({ pk: [1], set: { x: 1, y: 1 } });
    await anna.apply(newer);
    await anna.apply(older, newer);
    await anna.apply(both);
    const received = await carla.changesSince();
    assert.deepEqual(transactionIds(received), [newer.transactionId, both.transactionId]);
    assert.deepEqual(changesIn(received), [newer.changes[0], both.changes[1]]);
  },
  RELAYING,
);

/** A row's end, whichever order its changes arrive in, in one batch or several. */
async function inEveryOrder(
  changeSets: readonly WireChangeSet[],
  join: (device: Device) => Promise<SyncTransport>,
): Promise<void> {
  const ends = new Set<string>();
  const orders = [changeSets, changeSets.toReversed()];
  for (const [i, order] of orders.entries()) {
    for (const together of [true, false]) {
      const schema = `order ${i} ${together}`;
      const anna = await join(new Device(1));
      const moved = order.map((changeSet) => ({
        ...changeSet,
        changes: changeSet.changes.map((change) => ({ ...change, schema })),
      }));
      if (together) await anna.apply(...moved);
      else for (const changeSet of moved) await anna.apply(changeSet);
      const chunks = (await anna.snapshot()).filter((chunk) => chunk.schema === schema);
      ends.add(
        JSON.stringify([contentsOf(chunks), tombstonesIn(chunks).map(({ pk, hlc }) => [pk, hlc])]),
      );
    }
  }
  assert.equal(ends.size, 1, [...ends].join('\n'));
}

eachTransport(
  'the result never depends on the order of arrival',
  async ({ join }) => {
    const a = new Device(1);
    await inEveryOrder(
      [
        a.write({ pk: [1], set: { x: 1, y: 1 } }),
        a.write({ pk: [1], delete: true }),
        a.write({ pk: [1], set: { x: 2 } }, { pk: [2], set: { x: 1 } }),
        a.write({ pk: [2], delete: true }),
      ],
      join,
    );
  },
  RELAYING,
);

eachTransport(
  'without resurrection neither does it',
  async ({ join }) => {
    const a = new Device(1);
    await inEveryOrder(
      [
        a.write({ pk: [1], set: { x: 1 } }),
        a.write({ pk: [1], delete: true }),
        a.write({ pk: [1], set: { y: 2 } }),
      ],
      join,
    );
  },
  { config: { sync: { allowResurrection: false, foreignAuthors: 'accept' } } },
);

eachTransport(
  'changes of one row in one batch: their array order means nothing',
  async ({ join }) => {
    const a = new Device(1);
    const anna = await join(a);
    const changeSet = a.write({ pk: [1], delete: true }, { pk: [1], set: { x: 1 } });
    changeSet.changes.reverse();
    await anna.apply(changeSet);
    assert.deepEqual(contentsOf(await anna.snapshot()), { 't [1] x': 1 }, 'deleted, then inserted');
    const other = a.write({ pk: [2], set: { x: 1 } }, { pk: [2], delete: true });
    other.changes.reverse();
    await anna.apply(other);
    const chunks = await anna.snapshot();
    assert.deepEqual(contentsOf(chunks), { 't [1] x': 1 }, 'inserted, then deleted');
    assert.deepEqual(
      tombstonesIn(chunks).map(({ pk }) => pk),
      [[2]],
    );
  },
  RELAYING,
);

eachTransport(
  'a delete takes the older cells, and what comes late for them is skipped',
  async ({ join }) => {
    const a = new Device(1);
    const anna = await join(a);
    const before = a.write({ pk: [1], set: { x: 1 } });
    const late = a.write({ pk: [1], set: { y: 1 } });
    const deleted = a.write({ pk: [1], delete: true });
    await anna.apply(before, deleted);
    const { overtaken: _, ...counts } = await anna.apply(late);
    assert.deepEqual(counts, { ...NOTHING, skipped: 1, transactions: 1 });
    const chunks = await anna.snapshot();
    assert.deepEqual(contentsOf(chunks), {});
    const [tombstone] = tombstonesIn(chunks);
    assert.equal(tombstone?.hlc, deleted.changes[0]?.hlc);
    assert.equal(typeof tombstone?.createdAt, 'number');
  },
  RELAYING,
);

eachTransport(
  'a key that is inserted again lives, with only what was written since',
  async ({ join }) => {
    const a = new Device(1);
    const anna = await join(a);
    const reader = await join(new Device(2));
    await anna.apply(a.write({ pk: [1], set: { x: 1, y: 1 } }), a.write({ pk: [1], delete: true }));
    const reborn = a.write({ pk: [1], set: { x: 2 } });
    assert.deepEqual(await anna.apply(reborn), { ...NOTHING, applied: 1, transactions: 1 });
    const chunks = await reader.snapshot();
    assert.deepEqual(contentsOf(chunks), { 't [1] x': 2 });
    assert.deepEqual(tombstonesIn(chunks), [], 'a living row sends no tombstone');
    assert.deepEqual(changesIn(await reader.changesSince()).at(-1), reborn.changes[0]);
  },
  RELAYING,
);

eachTransport(
  'without resurrection a tombstone blocks every write to its row',
  async ({ join }) => {
    const a = new Device(1);
    const anna = await join(a);
    await anna.apply(a.write({ pk: [1], set: { x: 1 } }), a.write({ pk: [1], delete: true }));
    const reborn = a.write({ pk: [1], set: { x: 2 } }, { pk: [2], set: { x: 1 } });
    const result = { applied: 1, skipped: 1, conflicts: 0, transactions: 1 };
    const { overtaken, ...counts } = await anna.apply(reborn);
    assert.deepEqual(counts, result);
    assert.equal(overtaken?.length, 1, 'though it is newer');
    const chunks = await anna.snapshot();
    assert.deepEqual(contentsOf(chunks), { 't [2] x': 1 });
    assert.equal(tombstonesIn(chunks).length, 1);
  },
  { config: { sync: { allowResurrection: false, foreignAuthors: 'accept' } } },
);

eachTransport(
  'a change dated too far ahead has the whole batch refused',
  async ({ join }) => {
    const a = new Device(1);
    const ahead = new Device(1, Date.now() + 3_600_000);
    const anna = await join(a);
    const good = a.write({ pk: [1], set: { x: 1 } });
    const refused = [
      ahead.write({ pk: [2], set: { x: 1 } }),
      ahead.write({ pk: [2], delete: true }),
      ahead.migrate('create_table', 'u'),
      { ...a.write({ pk: [3], set: { x: 1 } }), hlc: ahead.hlc(ahead.wallTime) },
    ];
    for (const changeSet of refused) {
      const before = Date.now();
      await assert.rejects(anna.apply(good, changeSet), (refusal: Refusal) => {
        assert.equal(refusal.code, 'CLOCK_DRIFT');
        const { serverTimeMs = 0 } = refusal;
        assert.ok(serverTimeMs >= before && serverTimeMs <= Date.now(), `${serverTimeMs}`);
        return Number.isInteger(serverTimeMs);
      });
    }
    assert.deepEqual(contentsOf(await anna.snapshot()), {});
    const slightly = new Device(1, Date.now() + 30_000);
    const result = await anna.apply(good, slightly.write({ pk: [2], set: { x: 1 } }));
    assert.equal(result.applied, 2);
  },
  RELAYING,
);
