/** The examples do what their first lines say, in a real coordinator. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SignJWT } from 'jose';
import audit from '../../examples/hooks/audit.ts';
import businessRule from '../../examples/hooks/business-rule.ts';
import jwtAndWhitelist from '../../examples/hooks/jwt-and-whitelist.config.ts';
import perUserFilter from '../../examples/hooks/per-user-filter.ts';
import presence, { online } from '../../examples/hooks/presence.ts';
import roles from '../../examples/hooks/roles.ts';
import rowOwnership from '../../examples/hooks/row-ownership.ts';
import softDelete from '../../examples/hooks/soft-delete.ts';
import tenantIsolation from '../../examples/hooks/tenant-isolation.ts';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { HookEntry } from '../../src/hooks/loading/hook-entry.ts';
import {
  assertApproved,
  assertConverged,
  assertRejected,
  converge,
} from '../../src/testing/assertions.ts';
import { startCoordinator } from '../../src/testing/coordinator.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { ROOT, readPage } from '../docs/pages.ts';
import { plainDevice } from '../support/plain-device.ts';

/** Tokens are names here, with a role and an organisation behind them where that matters. */
const anybody: HookEntry = {
  ...rowOwnership,
  name: 'anybody',
  setup: () => ({
    onAuthenticate({ token = '', siteId }) {
      const [userId, role, org] = token.split(' ');
      return siteId && { siteId, userId, metadata: { claims: { roles: role?.split('+'), org } } };
    },
  }),
};

async function start(t: TestContext, module: HookEntry, more: object = {}) {
  const config: CoordinatorConfigInput = { hooks: { modules: [anybody, module], ...more } };
  const coordinator = await startCoordinator(t, { config });
  const [ann, ben] = [
    await coordinator.device({ token: 'ann' }),
    await coordinator.device({ token: 'ben' }),
  ];
  return { coordinator, ann, ben };
}

test('each is one idea in about forty lines', () => {
  const names = readdirSync(join(ROOT, 'examples/hooks'));
  assert.equal(names.length, 9);
  for (const name of names) {
    const lines = readPage(`examples/hooks/${name}`).text.trimEnd().split('\n');
    assert.ok(lines.length <= 40, `${name} has ${lines.length}`);
  }
});

test('row-ownership: who made a note may change it, and nobody else', async (t) => {
  const { coordinator, ann, ben } = await start(t, rowOwnership, { onReject: 'revert' });
  assertApproved(await ann.write('notes', [1], { owner: 'ann', text: 'mine' }));
  assertApproved(await ann.write('notes', [1], { text: 'still mine' }));
  assertRejected(await ben.write('notes', [1], { text: 'yours' }), {
    code: 'NOT_OWNER',
    column: 'text',
  });
  assertRejected(await ben.write('notes', [1], { owner: 'ben' }), { code: 'NOT_OWNER' });
  assertRejected(await ben.delete('notes', [1]), { code: 'NOT_OWNER' });
  assertRejected(await ben.write('notes', [2], { text: 'of nobody' }), { code: 'NOT_OWNER' });
  assertRejected(await ben.write('notes', [3], { owner: 'ann' }), { code: 'NOT_OWNER' });
  assertApproved(await ben.write('lists', [1], { title: 'everybody’s' }));
  await assertConverged(coordinator, [ann], { token: 'ann' });
});

test('row-ownership: no note is forged, whatever a transaction says beside it', async (t) => {
  const { coordinator, ben } = await start(t, rowOwnership);
  const forger = await plainDevice(t, coordinator, { token: 'ben' });
  const forged = { table: 'notes', set: { owner: 'ann', text: 'I, ann, resign' } };
  for (const [i, other] of [
    { table: 'notes', pk: [0], set: { owner: 'ben' } },
    { table: 'notes', pk: [], set: { owner: 'ben' } },
    { table: 'notes', pk: ['1'], set: { owner: 'ben' } },
    { schema: 'other', table: 'notes', pk: [1], set: { owner: 'ben' } },
    { schema: '', table: 'notes', pk: [1], set: { owner: 'ben' } },
    { table: 'notes', pk: [1], set: { OWNER: 'ben' } },
  ].entries()) {
    const note = { ...forged, pk: i === 0 ? [0] : [1] };
    for (const writes of [
      [other, note],
      [note, other],
    ]) {
      const { rejected = [] } = await forger.transact(...writes);
      assert.ok(
        rejected.some(({ code }) => code === 'NOT_OWNER' || code === 'SPELLING'),
        `with ${JSON.stringify(other)}`,
      );
    }
  }
  const cat = await coordinator.device({ token: 'cat' });
  assert.deepEqual(cat.rows('notes'), []);
  // Nobody gives away what only its owner could have made.
  assertApproved(await ben.write('notes', [2], { owner: 'ben', text: 'I, ann, resign' }));
  assertRejected(await ben.write('notes', [2], { owner: 'ann' }), { code: 'NOT_OWNER' });
});

test('row-ownership: keys of bytes, JSON and big integers are the keys that they are', async (t) => {
  const { ann, ben } = await start(t, rowOwnership);
  for (const key of [new Uint8Array([104, 105]), { a: 1, b: [2] }, 9007199254740993n]) {
    assertApproved(await ann.write('notes', [key], { owner: 'ann', text: 'mine' }));
    assertRejected(await ben.write('notes', [key], { text: 'yours' }), { code: 'NOT_OWNER' });
  }
});

test('row-ownership, business-rule: another spelling leads around neither', async (t) => {
  for (const [module, table, set] of [
    [rowOwnership, 'notes', { owner: 'ann', text: 'a' }],
    [businessRule, 'orders', { status: 'paid', sum: 5 }],
  ] as const) {
    const { ann, ben } = await start(t, module);
    assertApproved(await ann.transact({ table, pk: [1], set }));
    // Devices find the table by these, and the coordinator another one.
    for (const named of [
      { table, schema: 'MAIN' },
      { table, schema: '' },
      { table: table.toUpperCase() },
    ]) {
      const other = { ...named, pk: [1] };
      for (const write of [
        { ...other, set },
        { ...other, delete: true as const },
      ]) {
        const { rejected } = await ben.transact(write);
        assert.equal(rejected[0]?.code, 'SPELLING', JSON.stringify(write));
      }
    }
  }
  const { ann } = await start(t, businessRule);
  const { rejected } = await ann.write('orders', [2], { STATUS: 'paid', sum: 5 });
  assert.equal(rejected.find(({ column }) => column === 'STATUS')?.code, 'SPELLING');
});

test('business-rule: a paid order stays as it is, also on the device that changed it', async (t) => {
  const { coordinator, ann, ben } = await start(t, businessRule, { onReject: 'revert' });
  assertApproved(await ann.write('orders', [1], { status: 'open', sum: 5 }));
  await converge([ann, ben]);
  await ben.goOffline();
  const late = ben.write('orders', [1], { sum: 6, note: 'offline' });
  assertApproved(await ann.write('orders', [1], { status: 'paid' }));
  await ben.comeBack();
  assertRejected(
    await late,
    { column: 'sum', code: 'ORDER_PAID', pk: [1] },
    { column: 'note', code: 'ORDER_PAID' },
  );
  await assertConverged(coordinator, [ann, ben], { token: 'cat' });
  assert.deepEqual(ben.rows('orders'), [[[1], { status: 'paid', sum: 5, note: null }]]);
});

test('per-user-filter: everybody sees their own notes, by push, delta and snapshot', async (t) => {
  const { coordinator, ann, ben } = await start(t, perUserFilter);
  await ann.write('notes', [1], { owner: 'ann', text: 'a' });
  await ben.write('notes', [2], { owner: 'ben', text: 'b' });
  await ann.write('lists', [1], { title: 'all' });
  await converge([ann, ben]);
  const late = await coordinator.device({ token: 'ben' });
  for (const device of [ben, late]) {
    assert.deepEqual(device.rows('notes'), [[[2], { owner: 'ben', text: 'b' }]]);
    assert.equal(device.rows('lists').length, 1);
  }
  // There is no row left by which to tell whose it was.
  await ben.write('notes', [3], { owner: 'ben', text: 'c' });
  await converge([late]);
  await late.delete('notes', [3]);
  await converge([ann, ben]);
  assert.deepEqual(ben.rows('notes'), late.rows('notes'));
  const response = await fetch(`${coordinator.httpUrl}/snapshot`, {
    headers: { 'x-site-id': late.siteId, authorization: 'ann' },
  });
  const snapshot = await response.text();
  assert.match(snapshot, /"a"/);
  assert.doesNotMatch(snapshot, /"b"/);
});

test('per-user-filter: another spelling tells nobody what is in a note', async (t) => {
  const { ann, ben } = await start(t, perUserFilter);
  await ben.write('notes', [1], { owner: 'ben', text: 'b' });
  await ann.transact(
    { schema: 'MAIN', table: 'notes', pk: [1], set: { owner: 'ann', text: 'secret' } },
    { schema: '', table: 'notes', pk: [1], set: { owner: 'ann', text: 'secret' } },
    { table: 'Notes', pk: [1], set: { owner: 'ann', text: 'secret' } },
  );
  await converge([ann, ben]);
  await ann.write('lists', [1], { title: 'all' });
  await converge([ann, ben]);
  assert.equal(ben.rows('lists').length, 1);
  assert.doesNotMatch(JSON.stringify(ben.contents()), /secret/);
});

test('roles: everybody reads, editors write, admins change tables', async (t) => {
  const { coordinator, ann } = await start(t, roles);
  assertRejected(await ann.write('notes', [1], { text: 'a' }), { code: 'NOT_AUTHORIZED' });
  const editor = await coordinator.device({ token: 'ed editor' });
  assertApproved(await editor.write('notes', [1], { text: 'b' }));
  await converge([ann]);
  assert.deepEqual(ann.rows('notes'), [[[1], { text: 'b' }]]);
  const drop = async (token: string, number: number) => {
    const device = new Device(number, coordinator.clock.now());
    const client = await TestClient.join(coordinator.wsUrl, { ...device, token }, t);
    return client.apply(device.migrate('drop_table', 'notes', { schemaVersion: 2 }));
  };
  const { applied, rejected } = await drop('eve editor', 50);
  assert.equal(applied, 0);
  const [rejection] = rejected as { code: string; table: string }[];
  assert.deepEqual([rejection?.code, rejection?.table], ['NOT_ADMIN', 'notes']);
  assert.equal((await drop('ada editor+admin', 51)).applied, 1);
});

test('tenant-isolation: who is of an organisation has its database, and no other', async (t) => {
  const config: CoordinatorConfigInput = { hooks: [anybody, tenantIsolation] };
  const coordinator = await startCoordinator(t, { config });
  const ann = await coordinator.device({ token: 'ann - acme', databaseId: 'org:acme' });
  assertApproved(await ann.write('notes', [1], { text: 'ours' }));
  for (const [token, databaseId] of [
    ['ben - other', 'org:acme'],
    ['ben', 'org:acme'],
    ['ben', 'org:undefined'],
    ['ann - acme', 'default'],
    ['ann - acme', 'org:acme2'],
  ]) {
    await assert.rejects(coordinator.device({ token, databaseId }), { code: 'NOT_AUTHORIZED' });
  }
  const headers = { 'x-site-id': ann.siteId, authorization: 'ben - other' };
  for (const what of ['changes', 'snapshot']) {
    assert.equal((await fetch(`${coordinator.httpUrl}/org:acme/${what}`, { headers })).status, 403);
  }
});

test('soft-delete: a deleted note is there, with when it was, on every device', async (t) => {
  const { coordinator, ann, ben } = await start(t, softDelete);
  await ann.write('notes', [1], { text: 'a' });
  await ann.write('lists', [1], { title: 'a' });
  await converge([ann, ben]);
  await ben.goOffline();
  const offline = ben.delete('notes', [1]);
  await ann.write('notes', [1], { text: 'later' });
  await ben.comeBack();
  await offline;
  await ben.delete('lists', [1]);
  await assertConverged(coordinator, [ann, ben], { token: 'cat' });
  for (const device of [ann, ben]) {
    const [[, note] = []] = device.rows('notes');
    assert.deepEqual(Object.keys(note ?? {}).sort(), ['deletedAt', 'text']);
    assert.deepEqual(device.rows('lists'), []);
  }
});

test('audit: a line for every batch', async (t) => {
  const print = t.mock.method(console, 'log', () => {});
  const { coordinator, ann } = await start(t, audit);
  await ann.transact(
    { table: 'notes', pk: [1], set: { a: 1, b: 2 } },
    { table: 'lists', pk: [1], delete: true },
  );
  await coordinator.stop();
  assert.deepEqual(JSON.parse(String(print.mock.calls[0]?.arguments[0])), {
    userId: 'ann',
    site: ann.siteId,
    databaseId: 'default',
    tables: { notes: 2, lists: 1 },
    applied: 3,
  });
});

test('presence: who comes is online until they go', async (t) => {
  const { coordinator, ann, ben } = await start(t, presence);
  const other = await coordinator.device({ token: 'ann', databaseId: 'other' });
  assert.deepEqual(online(), { default: ['ann', 'ben'], other: ['ann'] });
  await ann.goOffline();
  other.destroy();
  await ben.synced();
  await coordinator.stop();
  assert.deepEqual(online(), {});
});

test('jwt-and-whitelist: people with their tokens, robots with theirs', async (t) => {
  const coordinator = await startCoordinator(t, { config: jwtAndWhitelist });
  const secret = new TextEncoder().encode('only for trying it out, never in production');
  const site = 77;
  const robot = await coordinator.device({ token: 'a token for the nightly import', site });
  assertApproved(await robot.write('t', [1], { a: 1 }));
  await robot.goOffline();
  const sign = (claims: object) =>
    new SignJWT({ sub: 'ann', aud: 'my-app', sites: [robot.siteId], ...claims })
      .setProtectedHeader({ alg: 'HS256' })
      .setExpirationTime('1h')
      .sign(secret);
  const ann = await coordinator.device({ token: await sign({}), site });
  assertApproved(await ann.write('t', [1], { a: 2 }));
  const guest = await coordinator.device({ token: await sign({ role: 'guest' }), site });
  assertRejected(await guest.write('t', [1], { a: 3 }), { code: 'NOT_AUTHORIZED' });
  assert.deepEqual(guest.rows('t').length, 1);
  for (const token of ['another', await sign({ aud: 'other' }), await sign({ sites: [] })]) {
    await assert.rejects(coordinator.device({ token, site }), { code: 'AUTH_FAILED' });
  }
});
