/** What the answer to a batch tells of changes that are not stored under the name that they give. */

import assert from 'node:assert/strict';
import { siteIdToText } from '../../src/clock/site-id.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import type { WireApplyResult } from '../../src/protocol/server-messages.ts';
import { Device } from '../../src/testing/device.ts';
import { eachTransport } from './each-transport.ts';
import type { SyncTransport } from './transport.ts';

const write = (device: Device, table: string, pk = 'x') =>
  device.write({ table, pk: [pk], set: { a: 1 } });

/** Where the changes of sets are, each by the place of its set. */
async function placesOf(client: SyncTransport, ...sets: WireChangeSet[]): Promise<unknown> {
  const answer: unknown = await client.apply(...sets);
  const { elsewhere } = answer as WireApplyResult;
  const hlcs = sets.map(({ changes }) => changes[0]?.hlc);
  return elsewhere?.map(({ hlc, ...place }) => ({ of: hlcs.indexOf(hlc), ...place }));
}

/** A table that was renamed, one that was dropped, and one that is there, of which Eve has not heard. */
async function prepare(join: (device: Device) => Promise<SyncTransport>): Promise<Device> {
  const anna = new Device(1);
  const hers = await join(anna);
  for (const table of ['todos', 'gone', 'there'])
    await hers.apply(anna.migrate('create_table', table));
  await hers.apply(
    anna.migrate('rename_table', 'tasks', { fromTable: 'todos' }),
    anna.migrate('drop_table', 'gone', { schemaVersion: 2 }),
  );
  return new Device(2, anna.wallTime + 1000);
}

eachTransport(
  'an answer names the changes that are under another name, and those of which nobody is told',
  async ({ join }) => {
    const eve = await prepare(join);
    const hers = await join(eve);
    const sets = ['todos', 'gone', 'there', 'new'].map((table) => write(eve, table));
    const places = [{ of: 0, table: 'tasks' }, { of: 1 }];
    assert.deepEqual(await placesOf(hers, ...sets), places);
    assert.deepEqual(await placesOf(hers, ...sets), places, 'also if they were stored before');
    assert.deepEqual(await placesOf(hers, write(eve, 'there')), undefined);
    await hers.apply(eve.migrate('create_table', 'gone', { schemaVersion: 3 }));
    assert.deepEqual(await placesOf(hers, ...sets), [{ of: 0, table: 'tasks' }]);
  },
);

eachTransport(
  'a name that leads to another table by DDL that nobody is sent is told all the same',
  async ({ join }) => {
    const eve = await prepare(join);
    const hers = await join(eve);
    // It has gone by then, and the drop is newer than nothing that is held.
    await hers.apply(eve.migrate('rename_table', 'past', { fromTable: 'gone' }));
    await hers.apply(eve.migrate('rename_table', 'late', { fromTable: 'todos' }));
    const sets = ['past', 'late'].map((table) => write(eve, table));
    assert.deepEqual(await placesOf(hers, ...sets), [{ of: 0 }, { of: 1, table: 'tasks' }]);
  },
);

const isEve = (siteId: Uint8Array) => siteIdToText(siteId) === new Device(2).siteId;

/** Eve sees no DDL of some kinds. */
const hiding = (...types: string[]) => ({
  hooks: (): CoordinatorHooks => ({
    onBeforeSendChanges: ({ siteId }, sets) =>
      sets.map((set) => ({
        ...set,
        schemaMigrations: set.schemaMigrations.filter(
          ({ type }) => !isEve(siteId) || !types.includes(type),
        ),
      })),
  }),
});

for (const { hidden, places } of [
  { hidden: [], places: [{ of: 0, table: 'tasks' }, { of: 1 }] },
  { hidden: ['rename_table'], places: [{ of: 1 }] },
  { hidden: ['drop_table'], places: [{ of: 0, table: 'tasks' }] },
  { hidden: ['rename_table', 'drop_table'], places: undefined },
]) {
  eachTransport(
    `where its DDL is hidden nothing is told of where a change is: ${hidden.join(', ') || 'none is'}`,
    async ({ join }) => {
      const eve = await prepare(join);
      const sets = ['todos', 'gone'].map((table) => write(eve, table));
      assert.deepEqual(await placesOf(await join(eve), ...sets), places);
    },
    hiding(...hidden),
  );
}

eachTransport(
  'of a table that was dropped under one of several names it is told who may know of each',
  async ({ join, server, databaseId }) => {
    const eve = await prepare(join);
    const hers = await join(eve);
    await hers.apply(eve.migrate('rename_table', 'past', { fromTable: 'gone' }));
    await server.maintain(databaseId);
    const old = new Device(2, eve.wallTime - 900_000);
    assert.deepEqual(await placesOf(hers, write(eve, 'past')), [{ of: 0 }]);
    const { applied, skipped } = await hers.apply(old.migrate('create_table', 'past'));
    assert.deepEqual([applied, skipped], [0, 1], 'it comes to nothing');
    assert.equal((await hers.apply(write(old, 'past'))).overtaken?.length, 1);
  },
  { ...hiding(), config: { sync: { tombstoneTTL: 1 } } },
);

eachTransport(
  'who may only write is not told where it is',
  async ({ join }) => {
    const eve = await prepare(join);
    assert.equal(
      await placesOf(await join(eve), write(eve, 'todos'), write(eve, 'gone')),
      undefined,
    );
  },
  {
    hooks: (): CoordinatorHooks => ({
      onAuthorize: ({ siteId }, { type }) => !isEve(siteId) || type === 'apply_changes',
    }),
  },
);
