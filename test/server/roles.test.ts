/** Identities that a module adds to: at the start, with newer credentials, and after a reload. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineHooks } from '../../src/hooks/define-hooks.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer } from '../support/server.ts';

declare module '../../src/hooks/types.ts' {
  interface ClientIdentity {
    /** As an app would declare it of `sync-coordinator`. */
    rolesOfTest?: readonly string[];
  }
}

const device = new Device(1);

/** The token is the user; who has which role can be changed, and whether anybody can tell. */
async function start(t: { after(work: () => unknown): void }) {
  const roles: Record<string, string[]> = { ann: ['writer'] };
  const state = { fails: false };
  const hooks = defineHooks({
    name: 'roles',
    setup: () => ({
      onAuthenticate: ({ token, siteId }) => siteId && { userId: token?.split('.')[0], siteId },
      async onAuthenticated({ userId = '' }) {
        if (state.fails) throw new Error('the directory is down');
        return { rolesOfTest: [...(roles[userId] ?? [])] };
      },
      onAuthorize: ({ rolesOfTest = [] }, { type }) =>
        type !== 'apply_changes' || rolesOfTest.includes('writer'),
    }),
  });
  const config = { storage: 'memory:', auth: { mode: 'custom' as const } };
  const server = await startServer(t, { config, hooks });
  const join = (token: string) =>
    TestClient.join(server.wsUrl, { siteId: device.siteId, token }, t);
  const post = async (token: string) => {
    const headers = { 'x-site-id': device.siteId, authorization: `Bearer ${token}` };
    const body = JSON.stringify({ changes: [device.write({ pk: [1], set: { x: 1 } })] });
    return (await fetch(`${server.httpUrl}/changes`, { method: 'POST', headers, body })).status;
  };
  return { server, roles, state, join, post };
}

const write = (client: TestClient) => client.apply(device.write({ pk: [1], set: { x: 1 } }));

test('what is added is there for all hooks, over both transports', async (t) => {
  const { join, post } = await start(t);
  assert.equal((await write(await join('ann'))).applied, 1);
  assert.equal(await post('ann'), 200);
  assert.equal(await post('ben'), 403);
});

test('newer credentials are added to as well', async (t) => {
  const { join, roles, state } = await start(t);
  const client = await join('ann.1');
  const renew = () => client.send({ type: 'authenticate', token: 'ann.2', requestId: 'r' });
  roles.ann = [];
  renew();
  await client.next('authenticated');
  client.send({ type: 'apply_changes', changes: [], requestId: 'w' });
  assert.equal((await client.next('error')).code, 'NOT_AUTHORIZED');
  state.fails = true;
  renew();
  assert.equal((await client.next('error')).code, 'HOOK_FAILED');
});

test('after a reload it is added anew; where that fails the session ends, and may come back', async (t) => {
  const { server, join, roles, state } = await start(t);
  const client = await join('ann');
  roles.ann = [];
  await server.reload(server.config);
  client.send({ type: 'apply_changes', changes: [], requestId: 'w' });
  assert.equal((await client.next('error')).code, 'NOT_AUTHORIZED');
  state.fails = true;
  await server.reload(server.config);
  assert.equal((await client.next('error')).code, 'HOOK_FAILED');
  assert.equal((await client.closed).code, 1013);
  await assert.rejects(join('ann'), /1013/);
  state.fails = false;
  await join('ann');
});
