/** What a batch is told of what it has lost: what has won, as far as its client may see it. */

import assert from 'node:assert/strict';
import { siteIdToText } from '../../src/clock/site-id.ts';
import type { ClientIdentity, CoordinatorHooks } from '../../src/hooks/types.ts';
import type { WireChangeSet, WireColumnChange } from '../../src/protocol/schemas.ts';
import type { WireApplyResult } from '../../src/protocol/server-messages.ts';
import { Device } from '../../src/testing/device.ts';
import { eachTransport } from './each-transport.ts';
import type { SyncTransport } from './transport.ts';

/** Applies what was made before and after: the second device loses. */
async function race(
  join: (device: Device) => Promise<SyncTransport>,
  rows: { pk: unknown[]; set: Record<string, unknown> }[],
  loserSet: (row: { pk: unknown[]; set: Record<string, unknown> }) => Record<string, unknown>,
) {
  const loser = new Device(2);
  const winner = new Device(1, loser.wallTime + 1000);
  const won = winner.write(...rows);
  await (await join(winner)).apply(won);
  const lost = loser.write(...rows.map((row) => ({ pk: row.pk, set: loserSet(row) })));
  const result = await (await join(loser)).apply(lost);
  const told = result.conflicting ?? [];
  return { won, lost, result, told, loser, winner };
}

const mine = ({ set }: { set: Record<string, unknown> }) =>
  Object.fromEntries(Object.keys(set).map((column) => [column, 'mine']));

eachTransport('whoever loses a cell is told what has won there', async ({ join }) => {
  const object = { a: [1, { b: null }], __proto: 'x' };
  const set = { n: 1.5, t: 'ünï🚀', z: null, y: { __bigint: '9007199254740993' }, o: object };
  const rows = [
    { pk: [1, 'é'], set: { ...set, bytes: { __bin: 'AAEC' } } },
    { pk: [{ __bigint: '9007199254740993' }], set: { n: false } },
  ];
  const { won, result, told, loser } = await race(join, rows, mine);
  assert.deepEqual([result.applied, result.conflicts], [0, won.changes.length]);
  const expected = (won.changes as WireColumnChange[]).map(({ type: _, ...cell }) => cell);
  assert.deepEqual(told, expected);
  // What is known, deleted or new is no conflict, and nobody is told of it.
  const anna = await join(loser);
  const fresh = loser.write({ pk: [3], set: { n: 1 } });
  assert.equal((await anna.apply(fresh)).conflicting, undefined);
  assert.equal((await anna.apply(fresh)).conflicting, undefined);
});

eachTransport(
  'a cell that loses several times against one value is told once',
  async ({ join }) => {
    const { loser, winner } = await race(join, [{ pk: [1], set: { a: 'w' } }], mine);
    const again = Array.from({ length: 5 }, () => loser.write({ pk: [1], set: { a: 'again' } }));
    const result = await (await join(loser)).apply(...again);
    assert.equal(result.conflicts, 5);
    assert.equal(result.conflicting?.length, 1);
    assert.ok(winner.wallTime > loser.wallTime);
  },
);

eachTransport(
  'the cells that are told are bounded, and what else has lost is named',
  async ({ join }) => {
    const many = Array.from({ length: 1500 }, (_, i) => ({ pk: [i], set: { a: i } }));
    const { result, told, won, lost } = await race(join, many, mine);
    assert.deepEqual([result.conflicts, told.length], [1500, 1000]);
    assert.deepEqual(told[999]?.value, 999);
    const rest = lost.changes.map(({ hlc }, i) => ({ hlc, by: won.changes[i]?.hlc })).slice(1000);
    assert.deepEqual((result as { beaten?: unknown }).beaten, rest);
  },
);

eachTransport('long values are not told, nor many that are long together', async ({ join }) => {
  const long = 'x'.repeat(16 * 1024 - 2);
  const rows = [
    { pk: [0], set: { a: `${long}x` } },
    { pk: [1], set: { a: long } },
    ...Array.from({ length: 100 }, (_, i) => ({ pk: [2 + i], set: { a: 'y'.repeat(5000) } })),
    { pk: [200], set: { a: 'short' } },
  ];
  const { result, told } = await race(join, rows, mine);
  assert.deepEqual([result.conflicts, told.length], [rows.length, rows.length]);
  assert.ok(!('value' in (told[0] ?? {})), 'its HLC is told all the same');
  assert.equal(told[1]?.value, long);
  const withValue = told.filter((cell) => 'value' in cell);
  assert.equal(withValue.length, 1 + 9 + 1);
  assert.equal(told.at(-1)?.value, 'short');
  assert.ok(JSON.stringify(result).length < 256 * 1024);
});

eachTransport('long keys take the room of other cells', async ({ join }) => {
  const rows = Array.from({ length: 30 }, (_, i) => ({
    pk: [i, 'k'.repeat(20_000)],
    set: { a: 1 },
  }));
  const { result, told } = await race(join, rows, mine);
  assert.deepEqual([result.conflicts, told.length, result.beaten?.length], [30, 12, 18]);
  assert.ok(JSON.stringify(result).length <= 270 * 1024);
});

const isLoser = ({ siteId }: ClientIdentity) => siteIdToText(siteId) === new Device(2).siteId;

/** Without the column `hidden` and values that are secret; salaries are masked. */
const filter = (): CoordinatorHooks => ({
  onBeforeSendChanges: (client, changeSets) =>
    changeSets.map((set) => ({
      ...set,
      changes: set.changes.flatMap((change) => {
        if (!isLoser(client) || change.type === 'delete') return [change];
        if (change.column === 'hidden' || change.value === 'SECRET') return [];
        return change.column === 'salary' ? [{ ...change, value: 0 }] : [change];
      }),
    })),
});

eachTransport(
  'what a client may not see it is not told, nor that it lost',
  async ({ join }) => {
    const rows = [
      { pk: [1], set: { hidden: 'SECRET', salary: 5_000, seen: 'SECRET', open: 'said' } },
      { pk: [2], set: { open: 'x'.repeat(20_000) } },
    ];
    const { result, told, won } = await race(join, rows, mine);
    // A long value is not kept for the answer, so nobody can tell whether it is hidden.
    assert.deepEqual([result.applied, result.conflicts], [4, 1]);
    assert.deepEqual(
      told.map(({ column, value }) => [column, value]),
      [['open', 'said']],
    );
    assert.equal(result.beaten, undefined);
    assert.doesNotMatch(JSON.stringify(result), /SECRET|5000/);
    assert.equal(won.changes.length, 5);
  },
  { hooks: filter },
);

eachTransport(
  'who may write but not read is told nothing of what has won',
  async ({ join }) => {
    const { result, told } = await race(join, [{ pk: [1], set: { a: 'SECRET' } }], mine);
    assert.deepEqual([result.applied, told, result.beaten], [1, [], undefined]);
    assert.doesNotMatch(JSON.stringify(result), /SECRET/);
  },
  {
    hooks: () => ({
      onAuthorize: (client, { type }) => !isLoser(client) || type === 'apply_changes',
    }),
  },
);

eachTransport(
  'who may read is told, also where a hook is asked',
  async ({ join }) => {
    const { told } = await race(join, [{ pk: [1], set: { a: 'said' } }], mine);
    assert.deepEqual(
      told.map(({ value }) => value),
      ['said'],
    );
  },
  { hooks: () => ({ onAuthorize: () => true }) },
);

eachTransport('of a dropped table nothing is told', async ({ join }) => {
  const loser = new Device(2);
  const winner = new Device(1, loser.wallTime + 1000);
  const anna = await join(winner);
  await anna.apply(winner.migrate('create_table', 't'));
  await anna.apply(winner.migrate('drop_table', 't', { schemaVersion: 2 }));
  // Both come from devices that have not heard of the drop.
  const later = new Device(3, winner.wallTime + 5000);
  await (await join(later)).apply(later.write({ pk: [1], set: { a: 'kept' } }));
  const late = new Device(2, winner.wallTime + 2000);
  const result = await (await join(late)).apply(late.write({ pk: [1], set: { a: 'mine' } }));
  assert.deepEqual([result.conflicts, result.conflicting], [1, undefined]);
});

/** Deletes a row and drops a table; then writes of before that come to both. */
async function overtake(
  join: (device: Device) => Promise<SyncTransport>,
  many = 1,
): Promise<{ result: WireApplyResult; late: WireChangeSet; deletion: string; drop: string }> {
  const loser = new Device(2);
  const winner = new Device(1, loser.wallTime + 1000);
  const ann = await join(winner);
  const deleted = winner.write({ pk: [1], delete: true });
  const dropped = winner.migrate('drop_table', 'old', { schemaVersion: 2 });
  await ann.apply(winner.migrate('create_table', 'old'), deleted, dropped);
  const rows = Array.from({ length: many }, (_, i) => ({ pk: [i], table: 'old', set: { a: i } }));
  const late = loser.write({ pk: [1], set: { a: 1, b: 2 } }, { pk: [2], set: { a: 3 } }, ...rows);
  const answer: unknown = await (await join(loser)).apply(late);
  const result = answer as WireApplyResult;
  const [deletion = '', drop = ''] = [deleted.changes[0]?.hlc, dropped.schemaMigrations[0]?.hlc];
  return { result, late, deletion, drop };
}

eachTransport('what a deletion or a drop has overtaken is named, by its HLC', async ({ join }) => {
  const { result, late, deletion, drop } = await overtake(join);
  assert.deepEqual([result.applied, result.skipped, result.conflicting], [1, 3, undefined]);
  const [first, second, , inDropped] = late.changes.map(({ hlc }) => hlc);
  assert.deepEqual(result.overtaken, [
    { hlc: first, by: deletion },
    { hlc: second, by: deletion },
    { hlc: inDropped, by: drop },
  ]);
  // What is known is no loss.
  const device = new Device(3);
  const known = device.write({ pk: [3], set: { a: 1 } }, { pk: [4], delete: true });
  const cara = await join(device);
  await cara.apply(known);
  assert.equal((await cara.apply(known)).overtaken, undefined);
});

eachTransport(
  'what a hook has rewritten is named as it was sent, where that is overtaken',
  async ({ join }) => {
    const { result, late, deletion, drop } = await overtake(join);
    const [first, second, , inDropped] = late.changes.map(({ hlc }) => hlc);
    assert.deepEqual(result.overtaken, [
      { hlc: first, by: deletion },
      { hlc: second, by: deletion },
      { hlc: inDropped, by: drop },
    ]);
  },
  {
    hooks: () => ({
      onBeforeApplyChanges: (_client, changeSets) => ({
        approved: changeSets.map((set) => ({
          ...set,
          changes: set.changes.map((change) =>
            change.type === 'column' ? { ...change, value: 'rewritten' } : change,
          ),
        })),
        rejected: [],
      }),
    }),
  },
);

eachTransport('all that is overtaken is named, however much it is', async ({ join }) => {
  const { result } = await overtake(join, 1500);
  assert.deepEqual([result.skipped, result.overtaken?.length], [1502, 1502]);
});

eachTransport(
  'a deletion that a client may not see it is not told, nor that it has overtaken anything',
  async ({ join }) => {
    const { result, late } = await overtake(join);
    const ofDropped = late.changes.at(-1)?.hlc;
    assert.deepEqual([result.applied, result.skipped], [3, 1]);
    assert.deepEqual(
      result.overtaken?.map(({ hlc }) => hlc),
      [ofDropped],
    );
  },
  {
    hooks: () => ({
      onBeforeSendChanges: (client, changeSets) =>
        changeSets.map((set) => ({
          ...set,
          changes: set.changes.filter(({ type }) => type !== 'delete' || !isLoser(client)),
        })),
    }),
  },
);

eachTransport(
  'who may write but not read is not told what has overtaken it',
  async ({ join }) => {
    const { result } = await overtake(join);
    assert.deepEqual([result.applied, result.skipped, result.overtaken], [4, 0, undefined]);
  },
  {
    hooks: () => ({
      onAuthorize: (client, { type }) => !isLoser(client) || type === 'apply_changes',
    }),
  },
);
