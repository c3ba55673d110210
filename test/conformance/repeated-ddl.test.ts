/** What becomes of DDL that says again what is there, and what its sender is told of it. */

import assert from 'node:assert/strict';
import type { WireChangeSet, WireMigration } from '../../src/protocol/schemas.ts';
import type { WireApplyResult } from '../../src/protocol/server-messages.ts';
import { Device } from '../../src/testing/device.ts';
import { eachTransport } from './each-transport.ts';

function hlcOf({ schemaMigrations }: WireChangeSet): string {
  return schemaMigrations[0]?.hlc ?? '';
}

/** Of what is skipped, what stands. */
function standingOf({ applied, skipped, standing }: WireApplyResult): unknown {
  assert.deepEqual([applied, skipped], [0, 1]);
  return standing;
}

eachTransport(
  'who has made a table again, without effect, is sent that behind a drop of before',
  async ({ join }) => {
    const [a, b] = [new Device(1), new Device(2)];
    const [anna, ben] = [await join(a), await join(b)];
    const create = a.migrate('create_table', 't');
    await anna.apply(create);
    const drop = a.migrate('drop_table', 't', { schemaVersion: 2 });
    b.wallTime = a.wallTime;
    const again = b.migrate('create_table', 't');
    assert.deepEqual(standingOf(await ben.apply(again)), []);
    await anna.apply(drop);
    const sent = (await ben.changesSince()).flatMap(({ schemaMigrations }) => schemaMigrations);
    assert.deepEqual(
      sent.map(({ hlc }) => hlc),
      [create, drop, again].map(hlcOf),
    );
    // It is part of what is sent by now.
    assert.deepEqual(standingOf(await ben.apply(again)), [hlcOf(again)]);
  },
);

eachTransport(
  'an answer names what stands of the DDL that it counts as skipped',
  async ({ join }) => {
    const device = new Device(1);
    const client = await join(device);
    const create = device.migrate('create_table', 't');
    assert.equal((await client.apply(create)).standing, undefined, 'nothing is skipped');
    assert.deepEqual(standingOf(await client.apply(create)), [hlcOf(create)]);
    const again = device.migrate('create_table', 't');
    assert.deepEqual(standingOf(await client.apply(again)), [], 'others are sent the first one');
    const rename = device.migrate('rename_table', 'u', { fromTable: 't' });
    await client.apply(rename);
    const next = device.migrate('create_table', 't');
    await client.apply(next);
    assert.deepEqual(standingOf(await client.apply(create)), [hlcOf(create)], 'for the rename');
    const onto = device.migrate('rename_table', 'u', { fromTable: 't', schemaVersion: 2 });
    assert.deepEqual(standingOf(await client.apply(onto)), [], 'onto a name that is in use');
    const drop = device.migrate('drop_table', 'u', { schemaVersion: 3 });
    await client.apply(drop);
    assert.deepEqual(standingOf(await client.apply(drop)), [hlcOf(drop)]);
  },
);

eachTransport(
  'a rename of a dropped table counts as skipped: it is sent to nobody',
  async ({ join }) => {
    const [a, b] = [new Device(1), new Device(2)];
    const [anna, ben] = [await join(a), await join(b)];
    await anna.apply(
      a.migrate('create_table', 't'),
      a.migrate('drop_table', 't', { schemaVersion: 2 }),
    );
    b.wallTime = a.wallTime;
    const rename = b.migrate('rename_table', 'u', { fromTable: 't' });
    assert.deepEqual(standingOf(await ben.apply(rename)), []);
    const ddl = (await anna.snapshot()).filter(({ type }) => type === 'schema-migration');
    assert.equal(ddl.length, 1);
  },
);

eachTransport(
  'who begins with a snapshot learns that a name of before is not that of the renamed table any more',
  async ({ join }) => {
    const a = new Device(1);
    const anna = await join(a);
    await anna.apply(
      a.migrate('create_table', 't'),
      a.migrate('rename_table', 'u', { fromTable: 't' }),
      a.migrate('create_table', 't', { schemaVersion: 2 }),
      a.migrate('create_table', 't', { schemaVersion: 3 }),
      a.migrate('drop_table', 't', { schemaVersion: 4 }),
    );
    const ddl = (await anna.snapshot()).filter(({ type }) => type === 'schema-migration');
    assert.deepEqual(
      ddl.map(({ migration }) => (migration as WireMigration).schemaVersion),
      [1, 1, 3, 4],
    );
  },
);

eachTransport(
  'who may write but not read is not told what stands, nor that it is there',
  async ({ join }) => {
    const device = new Device(1);
    const client = await join(device);
    const create = device.migrate('create_table', 't');
    await client.apply(create);
    const { applied, skipped, standing } = await client.apply(create);
    assert.deepEqual([applied, skipped, standing], [1, 0, undefined]);
  },
  {
    hooks: () => ({ onAuthorize: (_client, { type }) => type === 'apply_changes' }),
  },
);
