/** What becomes of writes to a table that has been dropped, where a hook rejects them, and where the storage refuses all. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { judgeChanges } from '../../src/hooks/verdicts/judge-changes.ts';
import { withoutNulls } from '../../src/testing/contents.ts';
import { Device } from '../../src/testing/device.ts';
import { faultsOf } from '../security/failing-storage.ts';
import { Replica } from '../support/replica.ts';
import { startServer } from '../support/server.ts';
import { eachTransport } from './each-transport.ts';
import { changesIn, contentsOf, tombstonesIn } from './look.ts';
import { overHttp, overWebSocket, Refusal } from './transport.ts';

const FAILING = fileURLToPath(new URL('../security/failing-storage.ts', import.meta.url));

const rejectBad = (): CoordinatorHooks => ({
  onBeforeApplyChanges: (_client, sets) =>
    judgeChanges(
      sets,
      (change) => {
        const isBad = change.type === 'delete' || change.value === 'bad';
        return isBad ? { reason: 'bad', code: 'BAD' } : true;
      },
      { migration: () => true },
    ),
});

for (const onReject of ['keep', 'revert'] as const) {
  eachTransport(
    `with onReject: ${onReject} a rejected write to a dropped table is told, and leaves nothing, also when the table is made again`,
    async ({ join }) => {
      const [a, b, c] = [new Device(1), new Device(2), new Device(3)];
      const [anna, ben, carla] = [await join(a), await join(b), await join(c)];
      await anna.apply(
        a.migrate('create_table', 'gone'),
        a.write({ table: 'gone', pk: [1], set: { x: 1 } }),
      );
      const before = String((await ben.changesSince()).at(-1)?.hlc);
      await anna.apply(a.migrate('drop_table', 'gone', { schemaVersion: 2 }));
      // Ben has not heard of it: one batch is dated before the drop, one after.
      for (const wallTime of [a.wallTime - 2, a.wallTime + 60_000]) {
        b.wallTime = wallTime;
        const sent = b.write(
          { table: 'gone', pk: [1], set: { x: 'bad', y: 'fine' } },
          { table: 'gone', pk: [1], delete: true },
          { table: 'gone', pk: [2], set: { x: 'bad' } },
        );
        const { rejected } = await ben.apply(sent);
        assert.deepEqual(
          rejected?.map(({ table, column, pk, code }) => [table, column, pk, code]),
          [
            ['gone', 'x', [1], 'BAD'],
            ['gone', undefined, [1], 'BAD'],
            ['gone', 'x', [2], 'BAD'],
          ],
        );
      }
      const told = await ben.changesSince(before);
      assert.deepEqual(changesIn(told), [], 'nothing is taken back');
      const ddl = told.flatMap(({ schemaMigrations }) => schemaMigrations);
      assert.deepEqual(
        ddl.map(({ type }) => type),
        ['drop_table'],
        'but the drop, with which its device lets go of all of it',
      );
      assert.deepEqual(contentsOf(await carla.snapshot()), {});
      // What is written to a table of that name from now on nothing of it beats.
      a.wallTime = b.wallTime + 1;
      await anna.apply(
        a.migrate('create_table', 'gone', { schemaVersion: 3 }),
        a.write(
          { table: 'gone', pk: [1], set: { x: 'new' } },
          { table: 'gone', pk: [2], set: { y: 'new' } },
        ),
      );
      const snapshot = await carla.snapshot();
      // What was accepted was kept for this, being newer than the drop.
      const stored = { 'gone [1] x': 'new', 'gone [1] y': 'fine', 'gone [2] y': 'new' };
      assert.deepEqual(contentsOf(snapshot), stored);
      assert.deepEqual(tombstonesIn(snapshot), []);
      const replica = new Replica();
      replica.apply(await ben.changesSince(String(told.at(-1)?.hlc)));
      const rows = Object.values(withoutNulls(replica.contents()));
      assert.deepEqual(
        rows.map(({ x, y }) => [x, y]),
        [
          ['new', undefined],
          [undefined, 'new'],
        ],
      );
    },
    { hooks: rejectBad, config: { hooks: { onReject } } },
  );
}

for (const onReject of ['keep', 'revert'] as const) {
  for (const [name, connect] of Object.entries({ HTTP: overHttp, WebSocket: overWebSocket })) {
    test(`with onReject: ${onReject} a batch that the storage refuses has told and left nothing, and is answered when it is sent again (${name})`, async (t) => {
      const { failures } = faultsOf();
      t.after(() => delete failures.write);
      const config = { storage: FAILING, hooks: { onReject } };
      const server = await startServer(t, { config, hooks: rejectBad() });
      const [a, b] = [new Device(1), new Device(2)];
      const anna = await connect(server, a, t);
      await anna.apply(
        a.migrate('create_table', 'gone'),
        a.migrate('create_table', 'kept'),
        a.write({ table: 'kept', pk: [1], set: { x: 1 } }),
        a.migrate('drop_table', 'gone', { schemaVersion: 2 }),
      );
      b.wallTime = a.wallTime + 1000;
      const sent = b.write(
        { table: 'gone', pk: [1], set: { x: 'bad', y: 'fine' } },
        { table: 'kept', pk: [1], set: { x: 'bad', y: 'fine' } },
      );
      const before = await (await connect(server, new Device(3), t)).changesSince();
      failures.write = new Error('the disk has failed');
      const refused = (await connect(server, b, t)).apply(sent);
      await assert.rejects(refused, (error) => {
        return error instanceof Refusal && error.code === 'STORE_UNAVAILABLE';
      });
      delete failures.write;
      const again = await connect(server, b, t);
      assert.deepEqual(await again.changesSince(), before, 'what others did, and no more');
      const { applied, rejected } = await again.apply(sent);
      assert.equal(applied, 2);
      const places = rejected?.map(({ table, column, pk, code }) => [table, column, pk, code]);
      assert.deepEqual(places, [
        ['gone', 'x', [1], 'BAD'],
        ['kept', 'x', [1], 'BAD'],
      ]);
      const replica = new Replica();
      replica.apply([sent]);
      replica.apply(await again.changesSince());
      const [kept] = replica.rows('main', 'kept').map(([, values]) => values);
      assert.deepEqual(kept, { x: onReject === 'revert' ? 1 : 'bad', y: 'fine' });
      // A store that fails closes the sockets of its database.
      const carla = await connect(server, new Device(3), t);
      const all = changesIn(await carla.changesSince());
      const values = all.map((change) => change.type === 'column' && change.value);
      assert.deepEqual(values, [1, 'fine'], 'nobody else is told of what was rejected');
    });
  }
}
