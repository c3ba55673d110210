/** Whoever may not write to what it may not see, finds nothing out about it by writing. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sameName } from '../../src/hooks/same-name.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { hideTables } from '../../src/hooks/verdicts/hide-tables.ts';
import { judgeChanges } from '../../src/hooks/verdicts/judge-changes.ts';
import { Device } from '../../src/testing/device.ts';
import { startServer } from '../support/server.ts';

const isStranger = ({ userId }: { userId?: string | undefined }) => userId !== 'owner';
const { onBeforeSendChanges } = hideTables(['secrets'], isStranger);
const hooks: CoordinatorHooks = {
  onAuthenticate: ({ token, siteId = new Uint8Array(16) }) => ({ siteId, userId: token }),
  onBeforeSendChanges,
  onBeforeApplyChanges: (client, changeSets) =>
    judgeChanges(
      changeSets,
      ({ table }) => !(isStranger(client) && sameName(table, 'secrets')) || { reason: 'not yours' },
    ),
};

test('a refused write to a hidden table is answered alike, and moves the watermark alike, whether there is a row or not', async (t) => {
  const { httpUrl } = await startServer(t, { config: { storage: 'memory:' }, hooks });
  const ask = async (user: string, device: Device, body?: unknown) => {
    const headers = { 'x-site-id': device.siteId, authorization: `Bearer ${user}` };
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify([body]) };
    const response = await fetch(`${httpUrl}/changes`, { headers, ...init });
    return ((await response.json()) as { data: Record<string, unknown> }).data;
  };
  const eve = new Device(2);
  const owner = new Device(1, eve.wallTime + 1000);
  await ask('owner', owner, owner.write({ table: 'secrets', pk: ['there'], set: { v: 'x' } }));
  await ask('owner', owner, owner.write({ table: 'secrets', pk: ['gone'], delete: true }));
  const answers = new Set<string>();
  for (const pk of ['there', 'gone', 'none']) {
    const before = await ask('eve', new Device(3));
    const guess = eve.write({ table: 'secrets', pk: [pk], set: { v: 'guess' } });
    const { rejected, ...counts } = await ask('eve', eve, guess);
    assert.match(JSON.stringify(rejected), /"reason":"not yours"/);
    const after = await ask('eve', new Device(3));
    answers.add(JSON.stringify([counts, before.watermark === after.watermark, after.changes]));
  }
  assert.equal(answers.size, 1, [...answers].join('\n'));
});

test('who may only write gets the same answer, whatever is there', async (t) => {
  const { httpUrl } = await startServer(t, {
    config: { storage: 'memory:' },
    hooks: {
      onAuthenticate: ({ token, siteId = new Uint8Array(16) }) => ({ siteId, userId: token }),
      onAuthorize: (client, { type }) => !isStranger(client) || type === 'apply_changes',
    },
  });
  const post = async (user: string, device: Device, body: unknown) => {
    const headers = { 'x-site-id': device.siteId, authorization: `Bearer ${user}` };
    const init = { method: 'POST', headers, body: JSON.stringify([body]) };
    return (await fetch(`${httpUrl}/changes`, init)).text();
  };
  const eve = new Device(2);
  const owner = new Device(1, eve.wallTime + 1000);
  const guesses = ['there', 'gone', 'none'].map((pk) => eve.write({ pk: [pk], set: { v: 'g' } }));
  await post('owner', owner, owner.write({ pk: ['there'], set: { v: 'x' } }));
  await post('owner', owner, owner.write({ pk: ['gone'], delete: true }));
  const answers = new Set<string>();
  for (const guess of guesses) answers.add(await post('eve', eve, guess));
  assert.equal(answers.size, 1, [...answers].join('\n'));
  assert.match(await post('owner', owner, guesses[0]), /"skipped":1|"conflicts":1/);
});

test('a batch with a row that is too long names it only to who may read every row', async (t) => {
  const { onBeforeSendChanges: hide } = hideTables(['secrets'], ({ userId }) => userId === 'eve');
  const start = (filter: CoordinatorHooks) =>
    startServer(t, {
      config: { storage: 'memory:', limits: { columnsPerRow: 3 } },
      hooks: {
        onAuthenticate: ({ token, siteId = new Uint8Array(16) }) => ({ siteId, userId: token }),
        onAuthorize: ({ userId }, { type }) => userId !== 'writer' || type === 'apply_changes',
        ...filter,
      },
    });
  const columns = (pk: string, count: number) => ({
    table: 'secrets',
    pk: [pk],
    set: Object.fromEntries(Array.from({ length: count }, (_, i) => [`${pk}${i}`, 1])),
  });
  for (const [user, filter, isNamed] of [
    ['owner', {}, true],
    ['writer', {}, false],
    ['eve', { onBeforeSendChanges: hide }, false],
  ] as const) {
    const { httpUrl } = await start(filter);
    const post = async (token: string, device: Device, body: unknown) => {
      const headers = { 'x-site-id': device.siteId, authorization: `Bearer ${token}` };
      const init = { method: 'POST', headers, body: JSON.stringify([body]) };
      return (await fetch(`${httpUrl}/changes`, init)).text();
    };
    const owner = new Device(1);
    await post('owner', owner, owner.write({ ...columns('there', 1), set: { v: 1 } }));
    const probe = new Device(2);
    // Refused in any case, and so stored in none: which row is met first would tell.
    const probes = ['there', 'none'].map((pk) => probe.write(columns(pk, 3), columns('mine', 4)));
    const [there, none] = await Promise.all(probes.map((body) => post(user, probe, body)));
    assert.match(String(there), /TOO_LARGE.*limits\.columnsPerRow/);
    assert.equal(there !== none, isNamed, `${user}: ${there} ${none}`);
    assert.equal(/secrets/.test(String(there)), isNamed);
  }
});
