/** What becomes of changes that another site than the sender has dated. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { siteIdToText } from '../../src/clock/site-id.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { Replica } from '../support/replica.ts';
import { startDeployment } from './deployment.ts';
import { eachTransport } from './each-transport.ts';
import { last } from './look.ts';

const [ann, ben, carla] = [new Device(1), new Device(2), new Device(3)];

const CODE = 'FOREIGN_AUTHOR';
const NOTHING = { applied: 0, skipped: 0, conflicts: 0 };

function contentsOf(changeSets: readonly WireChangeSet[]) {
  const replica = new Replica();
  replica.apply(changeSets);
  return replica.contents();
}

eachTransport(
  'what another device has dated is rejected, each change and table by name, and the rest stands',
  async ({ join }) => {
    const anna = await join(ann);
    await anna.apply(ann.write({ pk: [1], set: { a: 'hers', b: 'hers' } }));
    const mallory = await join(ben);
    const forged = ann.write({ pk: [1], set: { a: 'forged' } }, { pk: [2], delete: true });
    ben.wallTime = ann.wallTime;
    const own = ben.write({ pk: [1], set: { b: 'his' } });
    const mixed = { ...own, changes: [...forged.changes, ...own.changes] };
    const sets = [
      mixed,
      ann.migrate('create_table', 'forged'),
      ann.migrate('drop_table', 't'),
      ann.write({ table: 'forged2', pk: [3], set: { a: 1 } }),
    ];
    const { rejected, ...result } = await mallory.apply(...sets);
    assert.deepEqual(result, { ...NOTHING, applied: 1, transactions: 4 });
    assert.deepEqual(
      rejected?.map(({ reason: _, ...entry }) => entry),
      [
        { table: 't', column: 'a', pk: [1], set: 0 },
        { table: 't', pk: [2], set: 0 },
        { table: 'forged', set: 1 },
        { table: 't', set: 2 },
        { table: 'forged2', column: 'a', pk: [3], set: 3 },
      ].map(({ set, ...place }) => {
        const transactionId = sets[set]?.transactionId;
        return { code: CODE, schema: 'main', ...place, transactionId };
      }),
    );
    const seen = await (await join(carla)).changesSince();
    assert.doesNotMatch(JSON.stringify(seen), /forged/);
    assert.deepEqual(contentsOf(seen), { '["main","t","1"]': { a: 'hers', b: 'his' } });
    assert.equal(seen.length, 2, 'one of each, and nothing else');
    const hers = await anna.apply(ann.write({ table: 'forged2', pk: [1], set: { a: 'real' } }));
    assert.equal(hers.applied, 1, 'the true author is not held up');
  },
);

eachTransport(
  'a change set under the site id of another device is told as the sender’s',
  async ({ join }) => {
    const own = ben.write({ pk: ['x'], set: { a: 'his' } });
    const { applied } = await (await join(ben)).apply({ ...own, siteId: ann.siteId });
    assert.equal(applied, 1);
    const [seen] = await (await join(ann)).changesSince();
    assert.equal(seen?.siteId, ben.siteId, 'Ann would pass over it as her own');
  },
);

eachTransport(
  'what is stored may be pushed back, also when it was beaten, deleted or dropped since',
  async ({ join, server, databaseId }) => {
    const anna = await join(ann);
    const history = [
      ann.migrate('create_table', 'gone'),
      ann.write({ table: 'gone', pk: [1], set: { a: 1 } }),
      ann.migrate('create_table', 'old'),
      ann.write({ table: 'old', pk: [1], set: { a: 1 } }),
      ann.write({ pk: [1], set: { a: 'beaten' } }, { pk: [2], set: { a: 'deleted' } }),
      ann.write({ pk: [1], set: { a: 'newer' } }, { pk: [2], delete: true }),
    ];
    await anna.apply(...history);
    const benny = await join(ben);
    const received = await benny.changesSince();
    const renamed = ann.migrate('rename_table', 'new', { fromTable: 'old', schemaVersion: 2 });
    await anna.apply(ann.migrate('drop_table', 'gone', { schemaVersion: 2 }), renamed);
    await server.maintain(databaseId);
    const before = await anna.changesSince();
    for (const pushedBack of [received, history, await benny.changesSince()]) {
      const { rejected, applied } = await benny.apply(...pushedBack);
      assert.deepEqual([rejected, applied], [undefined, 0]);
    }
    assert.deepEqual(await anna.changesSince(), before, 'and changes nothing');
  },
);

eachTransport(
  'accept takes what others have dated, as relays need it',
  async ({ join }) => {
    const relayed = ann.write({ pk: [1], set: { a: 'relayed' } });
    const result = await (await join(ben)).apply(relayed);
    assert.deepEqual([result.applied, result.rejected], [1, undefined]);
    const [seen] = await (await join(carla)).changesSince();
    assert.deepEqual([seen?.siteId, seen?.changes], [ann.siteId, relayed.changes]);
  },
  { config: { sync: { foreignAuthors: 'accept' } } },
);

eachTransport(
  'refuse rejects it, known or not',
  async ({ join }) => {
    const set = ann.write({ pk: [1], set: { a: 1 } });
    const made = ann.migrate('create_table', 't');
    await (await join(ann)).apply(made, set);
    const { rejected, ...result } = await (await join(ben)).apply(made, set);
    assert.deepEqual(result, { ...NOTHING, transactions: 2 });
    assert.deepEqual(
      rejected?.map(({ code }) => code),
      [CODE, CODE],
    );
  },
  { config: { sync: { foreignAuthors: 'refuse' } } },
);

eachTransport(
  'a hook that rewrites or refuses what another device has dated answers nothing in its place',
  async ({ join }) => {
    await (await join(ben)).apply(ann.write({ pk: [1], set: { a: 'rewrite' } }));
    await (await join(ben)).apply(ann.write({ pk: [2], set: { a: 'refuse' } }));
    const hers = await join(ann);
    assert.deepEqual(await hers.changesSince(), []);
    const late = ann.write({ pk: [2], set: { a: 'hers' } });
    assert.equal((await hers.apply(late)).applied, 1, 'when she sends it, it is not beaten');
    assert.equal((await (await join(carla)).changesSince()).length, 1);
  },
  {
    config: { hooks: { onReject: 'revert' } },
    hooks: () => ({
      onBeforeApplyChanges: (_client, changeSets) => ({
        approved: changeSets.map((set) => ({
          ...set,
          changes: set.changes.flatMap((change) => {
            if (change.type !== 'column' || change.value === 'refuse') return [];
            return change.value === 'rewrite' ? { ...change, value: 'rewritten' } : change;
          }),
        })),
        rejected: [],
      }),
    }),
  },
);

test('hooks are not told of what was rejected as another device’s', async (t) => {
  const told: string[] = [];
  const server = await startDeployment(t, {
    config: { storage: 'memory:' },
    hooks: {
      onAfterApplyChanges: ({ siteId }, changeSets, { rejected = [] }) => {
        const columns = changeSets.flatMap(({ changes }) => changes.map(({ pk }) => `${pk[0]}`));
        told.push([siteIdToText(siteId), ...columns, ...rejected.map(({ code }) => code)].join());
      },
    },
  });
  const client = await TestClient.join(server.wsUrl, ben, t);
  const own = ben.write({ pk: ['own'], set: { a: 1 } });
  await client.apply(own, ann.write({ pk: ['forged'], set: { a: 1 } }));
  await client.apply();
  assert.equal(told[0], `${ben.siteId},own,${CODE}`);
});

for (const foreignAuthors of ['known', 'accept'] as const) {
  test(`where a device goes on sending is not for others to say (${foreignAuthors})`, async (t) => {
    const server = await startDeployment(t, {
      config: { storage: 'memory:', sync: { foreignAuthors } },
    });
    const victim = new Device(7);
    const anna = await TestClient.join(server.wsUrl, victim, t);
    const sent = victim.write({ pk: [1], set: { a: 1 } });
    await anna.apply(sent);
    const unsent = victim.write({ pk: [2], set: { a: 'not sent yet' } });
    const mallory = await TestClient.join(server.wsUrl, ben, t);
    await mallory.apply(victim.write({ pk: [9], set: { a: 'forged' } }));
    // Nothing new: the coordinator asks for what follows all that it has of her.
    await anna.apply(sent);
    const { sinceHLC } = await anna.next('request_changes');
    assert.equal(sinceHLC, last(sent.changes).hlc, 'not past what she has not sent');
    assert.ok(String(sinceHLC) < unsent.hlc);
  });
}

test('a device that pushes back what the coordinator has lost is asked to go on behind it', async (t) => {
  const server = await startDeployment(t, { config: { storage: 'memory:' } });
  const lost = ann.write({ pk: [1], set: { a: 1 } });
  const client = await TestClient.join(server.wsUrl, ben, t);
  await client.apply(lost);
  const { sinceHLC } = await client.next('request_changes');
  assert.equal(sinceHLC, lost.hlc);
});
