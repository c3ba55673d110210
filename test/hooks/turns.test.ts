/** What modules are asked about is as long as a client makes it. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import auditLog from '../../src/hooks/builtin/audit-log.ts';
import readOnly from '../../src/hooks/builtin/read-only.ts';
import validateSchema from '../../src/hooks/builtin/validate-schema.ts';
import { withinScope } from '../../src/hooks/loading/scope.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { hideTables } from '../../src/hooks/verdicts/hide-tables.ts';
import { judgeChanges } from '../../src/hooks/verdicts/judge-changes.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import type { Change } from '../../src/protocol/types.ts';
import { Device } from '../../src/testing/device.ts';
import { temporaryDirectory } from '../support/server.ts';
import { turnsDuring } from '../support/turns.ts';
import { CLIENT, RESULT, setUpModule, testChain } from './support.ts';

const COUNT = 20_000;
/** A change takes some ten microseconds for all that is done with it. */
const TURNS_MIN = COUNT / 1000;

const writes = Array.from({ length: COUNT }, (_, i) => ({ pk: [i], set: { a: 'x' } }));
const long = new Device(1).write(...writes);
const many = writes.slice(0, COUNT / 10).map((write) => {
  const set = new Device(2).write(...Array.from({ length: 10 }, () => write));
  return { ...set, transactionId: String(write.pk), hlc: new Device(2).hlc(write.pk[0] ?? 0) };
});

const rewritten = (change: Change): Change =>
  change.type === 'column' ? { ...change, value: 'y' } : change;
const judging = (judge: Parameters<typeof judgeChanges>[1]): CoordinatorHooks => ({
  onBeforeApplyChanges: (_client, changeSets) => judgeChanges(changeSets, judge),
});

const VALIDATORS: [what: string, hooks: CoordinatorHooks, sets: WireChangeSet[]][] = [
  ['approved', judging(() => true), [long]],
  ['rewritten', judging(rewritten), [long]],
  ['refused', judging(() => ({ reason: 'no' })), [long]],
  ['judged in many transactions', judging(() => true), many],
  [
    'judged in part',
    withinScope(
      judging(() => true),
      { tables: ['t'] },
    ),
    [long],
  ],
];

for (const [what, hooks, sets] of VALIDATORS) {
  test(`others have their turn while a long batch is ${what}`, async () => {
    const chain = testChain([hooks]);
    const { turns } = await turnsDuring(() => chain.beforeApply(CLIENT, sets));
    assert.ok(turns > TURNS_MIN, `${turns}`);
  });
}

const FILTERS: [what: string, hooks: CoordinatorHooks][] = [
  ['hidden', hideTables(['t'])],
  [
    'masked',
    {
      onBeforeSendChanges: (_client, changeSets) =>
        changeSets.map((set) => ({ ...set, changes: set.changes.map(rewritten) })),
    },
  ],
];

for (const [what, hooks] of FILTERS) {
  test(`others have their turn while much that is sent is ${what}`, async () => {
    const chain = testChain([hooks]);
    const { turns } = await turnsDuring(() => chain.beforeSend(CLIENT, [long]));
    assert.ok(turns > TURNS_MIN / 2, `${turns}`);
  });
}

test('others have their turn while modules look for tables in much DDL', async (t) => {
  const device = new Device(3);
  const [first = device.write(), ...others] = Array.from({ length: 40 }, (_, i) =>
    device.migrate('create_table', `t${i}`, { ddl: `CREATE TABLE t${i} (${'a, '.repeat(9000)}b)` }),
  );
  const schemaMigrations = [first, ...others].flatMap((set) => set.schemaMigrations);
  const set = { ...first, schemaMigrations };
  const modules = [
    hideTables(['notes']),
    (await setUpModule(t, readOnly, { tables: ['notes'] })).hooks,
    (await setUpModule(t, validateSchema, { tables: { notes: { properties: {} } } })).hooks,
    judging(() => true),
  ];
  for (const [i, hooks] of modules.entries()) {
    const fresh = structuredClone(set);
    // A text that was read before is known.
    for (const migration of fresh.schemaMigrations) migration.ddl += `/*${i}*/`;
    const chain = testChain([hooks]);
    const { turns } = await turnsDuring(() => chain.beforeApply(CLIENT, [fresh]));
    assert.ok(turns > 5, `${i}: ${turns}`);
  }
});

test('a batch without a table of a module is not read by it', async (t) => {
  const modules = [
    hideTables(['notes']),
    (await setUpModule(t, readOnly, { tables: ['notes'] })).hooks,
    (await setUpModule(t, validateSchema, { tables: { notes: { properties: {} } } })).hooks,
  ];
  for (const hooks of modules) {
    const { approved } = await testChain([hooks]).beforeApply(CLIENT, [long]);
    assert.equal(approved[0], long);
  }
  const ddl = new Device(4).migrate('create_table', 'b', { ddl: 'CREATE TABLE b (a)' });
  const [filtered] = modules;
  const sent = await testChain(filtered === undefined ? [] : [filtered]).beforeSend(CLIENT, [
    ddl,
    long,
  ]);
  assert.deepEqual([sent[0] === ddl, sent[1] === long], [true, true]);
});

test('others have their turn while the audit log notes down a long batch, and the next one waits', async (t) => {
  const file = join(temporaryDirectory(), 'audit.log');
  const { hooks } = await setUpModule(t, auditLog, { file });
  const chain = testChain([hooks]);
  const { turns } = await turnsDuring(async () => {
    for (const sets of [[long], many.slice(0, 1)])
      chain.afterApply(CLIENT, sets, { result: RESULT });
    await chain.settled();
  });
  assert.ok(turns > TURNS_MIN, `${turns}`);
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).changes.length),
    [COUNT, 10],
  );
});
