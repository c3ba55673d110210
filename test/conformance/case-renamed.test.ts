/** A table that is renamed from one spelling to another is one table under both, to the rules of the examples, too. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import quota from '../../examples/hook-package/index.js';
import businessRule from '../../examples/hooks/business-rule.ts';
import perUserFilter from '../../examples/hooks/per-user-filter.ts';
import rowOwnership from '../../examples/hooks/row-ownership.ts';
import softDelete from '../../examples/hooks/soft-delete.ts';
import { defineHooks } from '../../src/hooks/define-hooks.ts';
import type { HookEntry } from '../../src/hooks/loading/hook-entry.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer } from '../support/server.ts';
import { changesIn } from './look.ts';

const anybody = defineHooks({
  name: 'anybody',
  hooks: { onAuthenticate: ({ token, siteId }) => siteId && { siteId, userId: token } },
});

const ROW = { owner: 'ann', status: 'open' };

/** Of the table that a rule is about: it was made in capitals, has rows, and was renamed since, or the other way round. */
async function renamed(t: TestContext, module: HookEntry, [from, to]: readonly [string, string]) {
  const config = { storage: 'memory:' as const, hooks: { modules: [anybody, module] } };
  const server = await startServer(t, { config });
  const author = new Device(9);
  // Before there were any rules.
  const lease = await server.service.acquire('default');
  await lease.manager.apply([
    author.migrate('create_table', from),
    author.write({ table: from, pk: [1], set: ROW }),
    author.migrate('rename_table', to, { fromTable: from, schemaVersion: 2 }),
  ]);
  lease.release();
  const join = async (number: number, token: string) => {
    const device = new Device(number, author.wallTime + 1000);
    const { siteId } = device;
    return { device, client: await TestClient.join(server.wsUrl, { siteId, token }, t) };
  };
  return { join };
}

const codesOf = (answer: object) =>
  (Reflect.get(answer, 'rejected') as { code: string }[] | undefined)?.map(({ code }) => code);

for (const [table, module] of [
  ['notes', rowOwnership],
  ['orders', businessRule],
  ['notes', softDelete],
  ['tasks', [quota, { table: 'tasks', rowsMax: 2 }]],
] as const) {
  const capitals = `${table[0]?.toUpperCase()}${table.slice(1)}`;
  for (const names of [[capitals, table] as const, [table, capitals] as const]) {
    test(`${String(Reflect.get(module, 'name') ?? 'quota')}: after a rename from ${names.join(' to ')} devices go on under either name`, async (t) => {
      const { join } = await renamed(t, module as HookEntry, names);
      const { device, client } = await join(1, 'ann');
      for (const name of names) {
        const answer = await client.apply(
          device.write({ table: name, pk: [1], set: { text: name } }),
          device.write({ table: name, pk: [2], set: { owner: 'ann', text: name } }),
          device.write({ table: name, pk: [2], delete: true }),
        );
        assert.equal(codesOf(answer), undefined, name);
      }
    });
  }
}

test('the rules hold under either name all the same, and any other spelling is rejected', async (t) => {
  for (const names of [['Notes', 'notes'] as const, ['notes', 'Notes'] as const]) {
    const { join } = await renamed(t, rowOwnership, names);
    const { device, client } = await join(2, 'ben');
    for (const name of names) {
      const answer = await client.apply(
        device.write({ table: name, pk: [1], set: { text: 'mine' } }),
        device.write({ table: name, pk: [1], set: { owner: 'ben' } }),
      );
      assert.deepEqual(codesOf(answer), ['NOT_OWNER', 'NOT_OWNER'], name);
    }
    const other = await client.apply(device.write({ table: 'NOTES', pk: [1], set: { text: 'x' } }));
    assert.deepEqual(codesOf(other), ['SPELLING']);
    const column = device.write({ table: 'Notes', pk: [1], set: { OWNER: 'ben' } });
    assert.deepEqual(codesOf(await client.apply(column)), ['SPELLING']);
  }
});

test('a filter goes on showing to everybody what is theirs, and nothing else', async (t) => {
  for (const names of [['Notes', 'notes'] as const, ['notes', 'Notes'] as const]) {
    const { join } = await renamed(t, perUserFilter, names);
    const seen = async (number: number, token: string) =>
      changesIn(await (await join(number, token)).client.changesSince()).length;
    assert.deepEqual([await seen(1, 'ann'), await seen(2, 'ben')], [Object.keys(ROW).length, 0]);
  }
});
