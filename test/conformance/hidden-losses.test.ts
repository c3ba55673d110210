/** The answer to a write is the same, whether there is something that its sender may not read, or nothing. */

import assert from 'node:assert/strict';
import { siteIdToText } from '../../src/clock/site-id.ts';
import type { ClientIdentity, CoordinatorHooks } from '../../src/hooks/types.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import type { WireApplyResult } from '../../src/protocol/server-messages.ts';
import type { ChangeSet } from '../../src/protocol/types.ts';
import { Device } from '../../src/testing/device.ts';
import { eachTransport } from './each-transport.ts';
import type { SyncTransport } from './transport.ts';

type Join = (device: Device) => Promise<SyncTransport>;

const isEve = ({ siteId }: ClientIdentity) => siteIdToText(siteId) === new Device(2).siteId;

const mayOnlyWrite = (): CoordinatorHooks => ({
  onAuthorize: (client, { type }) => !isEve(client) || type === 'apply_changes',
});

/** A set without private values, and without DDL that names `secret`. */
const openPart = (set: ChangeSet): ChangeSet => ({
  ...set,
  changes: set.changes.filter(
    (change) => !(change.type === 'column' && String(change.value).startsWith('private')),
  ),
  schemaMigrations: set.schemaMigrations.filter(({ ddl }) => !ddl.includes('secret')),
});

/** Eve sees no private values, and no DDL of tables whose names begin with `secret`. */
const byValue = (): CoordinatorHooks => ({
  onBeforeSendChanges: (client, sets) => (isEve(client) ? sets.map(openPart) : sets),
});

const LONG = `private ${'x'.repeat(20_000)}`;

/** Anna's rows, made long after what Eve and Carla write. */
async function prepare(join: Join): Promise<{ eve: Device; carla: Device }> {
  const eve = new Device(2);
  const carla = new Device(3);
  const anna = new Device(1, eve.wallTime + 1_000_000);
  const hers = await join(anna);
  await hers.apply(
    anna.migrate('create_table', 'old', { ddl: 'CREATE TABLE secret' }),
    anna.write({ pk: ['there'], set: { a: 'private' } }, { pk: ['long'], set: { a: LONG } }),
    anna.write({ pk: ['gone'], delete: true }),
    anna.migrate('drop_table', 'old', { schemaVersion: 2, ddl: 'DROP TABLE secret' }),
    anna.write({ pk: ['public'], set: { a: 'said' } }),
  );
  return { eve, carla };
}

/** The answer to a batch, without what is named in it as it was sent. */
async function answerTo(join: Join, ...sets: WireChangeSet[]) {
  const answer: unknown = await (await join(new Device(2))).apply(...sets);
  const { rejected, ...rest } = answer as WireApplyResult;
  return { ...rest, rejected: rejected?.map(({ code }) => code) };
}

const write = (device: Device, pk: string, table = 't') =>
  device.write({ table, pk: [pk], set: { a: 'guess' } });

eachTransport(
  'who may only write is answered as if nothing were there',
  async ({ join }) => {
    const { eve, carla } = await prepare(join);
    const nothing = await answerTo(join, write(eve, 'nothing'));
    assert.deepEqual(nothing, {
      applied: 1,
      skipped: 0,
      conflicts: 0,
      transactions: 1,
      rejected: undefined,
    });
    for (const pk of ['there', 'long', 'gone']) {
      assert.deepEqual(await answerTo(join, write(eve, pk)), nothing, pk);
    }
    assert.deepEqual(await answerTo(join, write(eve, 'x', 'old')), nothing);
    assert.deepEqual(await answerTo(join, eve.write({ pk: ['gone'], delete: true })), nothing);
    // Not even whether it has been beaten since.
    const known = write(eve, 'known');
    assert.deepEqual(await answerTo(join, known), nothing);
    assert.deepEqual(await answerTo(join, known), nothing);
    const forged = await answerTo(join, write(carla, 'nothing at all'));
    assert.deepEqual(forged.rejected, ['FOREIGN_AUTHOR']);
    for (const pk of ['there', 'gone']) {
      assert.deepEqual(await answerTo(join, write(carla, pk)), forged, pk);
    }
    assert.deepEqual(await answerTo(join, eve.migrate('create_table', 'old')), nothing);
  },
  { hooks: mayOnlyWrite },
);

eachTransport(
  'a hidden value that no answer has room for is hidden all the same',
  async ({ join }) => {
    const { eve } = await prepare(join);
    const alone = await answerTo(join, write(eve, 'nothing'));
    assert.equal(alone.applied, 1);
    assert.deepEqual(await answerTo(join, write(eve, 'long')), alone);
    const later = new Device(2, eve.wallTime + 100_000);
    const own = Array.from({ length: 1000 }, (_, i) => ({ pk: [i], set: { a: 'mine' } }));
    await answerTo(join, later.write(...own));
    const behind = (pk: string) => eve.write(...own, { pk: [pk], set: { a: 'guess' } });
    const { conflicting, ...counts } = await answerTo(join, behind('nothing else'));
    assert.deepEqual([conflicting?.length, counts.applied, counts.conflicts], [1000, 1, 1000]);
    const { conflicting: _, ...hidden } = await answerTo(join, behind('there'));
    assert.deepEqual(hidden, counts);
    const seen = await answerTo(join, write(eve, 'public'));
    assert.deepEqual([seen.conflicts, seen.conflicting?.[0]?.value], [1, 'said']);
  },
  { hooks: byValue },
);

eachTransport(
  'what another device has dated is refused as such, whether something hidden has beaten it or not',
  async ({ join }) => {
    const { carla } = await prepare(join);
    const nothing = await answerTo(join, write(carla, 'nothing'));
    assert.deepEqual([nothing.applied, nothing.rejected], [0, ['FOREIGN_AUTHOR']]);
    for (const pk of ['there', 'long']) {
      assert.deepEqual(await answerTo(join, write(carla, pk)), nothing, pk);
    }
    const beaten = await answerTo(join, write(carla, 'public'));
    assert.deepEqual([beaten.conflicts, beaten.rejected], [1, undefined], 'it may be pushed back');
  },
  { hooks: byValue },
);

eachTransport(
  'a drop whose DDL is hidden is not told, nor that it has overtaken anything',
  async ({ join }) => {
    const { eve } = await prepare(join);
    const nothing = await answerTo(join, write(eve, 'nothing'));
    assert.deepEqual(await answerTo(join, write(eve, 'x', 'old')), nothing);
  },
  { hooks: byValue },
);

/** The same, by the names of tables instead of the texts of DDL. */
const byName = (): CoordinatorHooks => ({
  onBeforeSendChanges: (client, sets) =>
    sets.map((set) => ({
      ...set,
      schemaMigrations: set.schemaMigrations.filter(
        ({ table }) => !(isEve(client) && table.startsWith('secret')),
      ),
    })),
});

const create = (device: Device, table: string, schemaVersion = 1) =>
  device.migrate('create_table', table, { ddl: `CREATE TABLE ${table}`, schemaVersion });
const drop = (device: Device, table: string, formerly: string) =>
  device.migrate('drop_table', table, { ddl: `DROP TABLE ${table} -- ${formerly}` });
const rename = (device: Device, fromTable: string, table: string, schemaVersion = 1) => {
  const ddl = `ALTER TABLE ${fromTable} RENAME TO ${table}`;
  return device.migrate('rename_table', table, { fromTable, ddl, schemaVersion });
};

/** What Anna does to a name, with one that is hidden or is not. */
const done: Record<string, (anna: Device, name: string, other: string) => WireChangeSet[]> = {
  'is given to a table': (anna, name, other) => [create(anna, other), rename(anna, other, name)],
  'is taken from a table': (anna, name, other) => [create(anna, name), rename(anna, name, other)],
  'is dropped once it was given': (anna, name, other) => [
    create(anna, other),
    rename(anna, other, name),
    drop(anna, name, other),
  ],
};

/** What Eve makes of the name, each of which comes to nothing after some of that. */
const tried: Record<string, (eve: Device, name: string) => WireChangeSet> = {
  renamed: (eve, name) => rename(eve, name, `${name}_new`),
  renamedTo: (eve, name) => rename(eve, `${name}_other`, name, 3),
  made: (eve, name) => create(eve, name, 3),
};

for (const hooks of [byValue, byName]) {
  for (const [what, prepareName] of Object.entries(done)) {
    eachTransport(
      `DDL that comes to nothing since a name ${what}, unseen, is answered as if it had not, by a filter ${hooks.name}`,
      async ({ join }) => {
        const early = new Device(2);
        const anna = new Device(1, early.wallTime + 1_000_000);
        const late = new Device(2, early.wallTime + 2_000_000);
        const hers = await join(anna);
        const prepared = async (name: string, other: string) => {
          await hers.apply(...prepareName(anna, name, other));
          return name;
        };
        for (const [how, trying] of Object.entries(tried)) {
          for (const [when, eve] of Object.entries({ early, late })) {
            const name = `${how}_${when}`;
            const nothing = await answerTo(join, trying(eve, `${name}_none`));
            assert.deepEqual([nothing.applied, nothing.standing], [1, undefined]);
            const hidden = await prepared(name, `secret_${name}`);
            assert.deepEqual(await answerTo(join, trying(eve, hidden)), nothing, name);
          }
        }
        const again = await prepared('again', 'secret_again');
        const twice = [1, 2].map(() => rename(early, again, 'again_new'));
        const both = await answerTo(join, ...twice);
        assert.deepEqual([both.applied, both.standing], [2, undefined]);
        assert.equal((await answerTo(join, ...twice.slice(1))).standing, undefined, 'repeated');
        const seen = await prepared('seen', 'seen_other');
        const told = await answerTo(join, rename(early, seen, 'seen_new'));
        assert.deepEqual([told.applied, told.skipped, told.standing], [0, 1, []]);
      },
      { hooks },
    );
  }
}

eachTransport(
  'a drop that may be seen is told where there is a filter, also when its DDL is kept no more',
  async ({ join, server, databaseId }) => {
    const eve = new Device(2);
    const anna = new Device(1, eve.wallTime + 1000);
    const drop = anna.migrate('drop_table', 'old', { schemaVersion: 2 });
    await (await join(anna)).apply(anna.migrate('create_table', 'old'), drop);
    const late = write(eve, 'x', 'old');
    const overtaken = [{ hlc: late.changes[0]?.hlc, by: drop.schemaMigrations[0]?.hlc }];
    assert.deepEqual((await answerTo(join, late)).overtaken, overtaken);
    await server.maintain(databaseId);
    assert.deepEqual((await answerTo(join, late)).overtaken, overtaken);
  },
  { hooks: byValue, config: { sync: { tombstoneTTL: 1 } } },
);

/** Eve sees none of three rows, by one spelling of their keys. */
const byKey = (): CoordinatorHooks => ({
  onBeforeSendChanges: (client, changeSets) =>
    changeSets.map((set) => ({
      ...set,
      changes: set.changes.filter(({ pk: [key] }) => !(isEve(client) && isHiddenKey(key))),
    })),
});

const isHiddenKey = (key: unknown) =>
  key === 5 || key === 7 || (isObject(key) && JSON.stringify(key) === '{"org":1,"id":2}');
const isObject = (value: unknown) => typeof value === 'object';

eachTransport(
  'a filter is asked about what is stored, however the sender spells its key',
  async ({ join }) => {
    const eve = new Device(2);
    const anna = new Device(1, eve.wallTime + 1_000_000);
    await (await join(anna)).apply(
      anna.write({ pk: [5], set: { a: 'hidden' } }, { pk: [{ org: 1, id: 2 }], set: { a: 'too' } }),
      anna.write({ pk: [7], delete: true }),
    );
    const guess = (pk: unknown) => eve.write({ pk: [pk], set: { a: 'guess' } });
    const nothing = await answerTo(join, guess({ __bigint: '6' }));
    assert.equal(nothing.applied, 1);
    const keys = [{ __bigint: '5' }, { __bigint: '05' }, { __bigint: '7' }, { id: 2, org: 1 }];
    for (const pk of [5, 7, ...keys]) {
      assert.deepEqual(await answerTo(join, guess(pk)), nothing, JSON.stringify(pk));
    }
    const late = eve.write({ pk: [{ __bigint: '7' }], delete: true });
    assert.deepEqual(await answerTo(join, late), nothing);
  },
  { hooks: byKey },
);

/** The same, but she sees all of what she sent herself. */
const byAuthor = (): CoordinatorHooks => ({
  onBeforeSendChanges: (client, sets) =>
    sets.map((set) =>
      isEve(client) && siteIdToText(set.siteId) !== new Device(2).siteId ? openPart(set) : set,
    ),
});

for (const hooks of [byValue, byAuthor]) {
  eachTransport(
    `what somebody hidden has dated is no more known than any other, by a filter ${hooks.name}`,
    async ({ join }) => {
      const { eve } = await prepare(join);
      const anna = new Device(1, eve.wallTime + 5_000_000);
      const hidden = anna.write({ pk: ['r'], set: { note: 'private', open: 'public' } });
      const ddl = anna.migrate('create_table', 'x', { ddl: 'CREATE TABLE secret' });
      await (await join(anna)).apply(hidden, ddl);
      const [note, open] = hidden.changes;
      const forge = (column: string, value: unknown, hlc = note?.hlc) => {
        const set = eve.write({ pk: ['r'], set: { [column]: value } });
        return {
          ...set,
          changes: set.changes.map((change) => ({ ...change, hlc })),
        } as WireChangeSet;
      };
      const nothing = await answerTo(join, forge('none', 'harmless'));
      assert.deepEqual([nothing.skipped, nothing.rejected], [0, ['FOREIGN_AUTHOR']]);
      assert.deepEqual(await answerTo(join, forge('note', 'harmless')), nothing);
      assert.deepEqual(await answerTo(join, forge('note', 'private')), {
        ...nothing,
        ...(hooks === byValue && { applied: 1, rejected: undefined }),
      });
      const known = await answerTo(join, forge('open', 'public', open?.hlc));
      assert.deepEqual([known.skipped, known.rejected], [1, undefined], 'it may be pushed back');
      const migrate = (table: string) => {
        const {
          schemaMigrations: [said],
          ...set
        } = eve.migrate('create_table', table);
        return {
          ...set,
          schemaMigrations: [{ ...said, hlc: ddl.schemaMigrations[0]?.hlc }],
        } as WireChangeSet;
      };
      assert.deepEqual(await answerTo(join, migrate('y')), nothing);
      assert.deepEqual(await answerTo(join, migrate('x')), nothing);
      const guess = await answerTo(join, eve.write({ pk: ['r'], set: { note: 'guess' } }));
      assert.deepEqual([guess.applied, guess.conflicting], [1, undefined]);
      const own = await answerTo(join, eve.migrate('create_table', 'x'));
      assert.deepEqual([own.applied, own.skipped], [1, 0], 'what stands there is hidden');
    },
    { hooks },
  );
}

eachTransport(
  'what was masked for a client it may push back as it has got it, and no other value',
  async ({ join }) => {
    const anna = new Device(1);
    const set = anna.write({ pk: ['r'], set: { salary: 'secret' } });
    await (await join(anna)).apply(set);
    const pushBack = (value: unknown) =>
      answerTo(join, {
        ...set,
        changes: set.changes.map((change) => ({ ...change, value })),
      } as WireChangeSet);
    assert.equal((await pushBack(null)).skipped, 1);
    assert.deepEqual((await pushBack(0)).rejected, ['FOREIGN_AUTHOR']);
  },
  {
    hooks: (): CoordinatorHooks => ({
      onBeforeSendChanges: (client, changeSets) => {
        for (const { changes } of changeSets) {
          for (const change of changes) {
            const isMasked = isEve(client) && change.type === 'column' && change.value === 'secret';
            if (isMasked) change.value = null;
          }
        }
        return changeSets;
      },
    }),
  },
);
