/** Clients on which a hook trips can't fill the log with it, over either transport. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { databaseIdToDirectoryName } from '../../src/storage/database-directory.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startChildServer } from '../support/child-server.ts';
import { temporaryDirectory } from '../support/server.ts';

/** Trips over some users and over NULL, and when a request comes to a route of its own. */
const HOOKS = `
import { defineHooks } from 'sync-coordinator';
export default defineHooks({
  name: 'tripping',
  setup(_options, { routes }) {
    routes((app) => {
      app.get('/boom', () => { throw new Error('boom'); });
      app.get('/stray', () => void Promise.reject(new Error('nobody waits')) ?? {});
    });
    return {
      onAuthenticate: ({ siteId, token }) => ({ siteId, userId: token }),
      onAuthorize({ userId }) {
        if (userId === 'nobody') throw new Error('no rights of ' + userId);
        return true;
      },
      onClientConnect({ userId }) {
        if (userId === 'stranger') throw new Error('unknown');
        return true;
      },
      onBeforeApplyChanges(_client, sets) {
        for (const { changes } of sets) for (const { value } of changes) value.toString();
        return { approved: sets, rejected: [] };
      },
      onAfterApplyChanges() { throw new Error('too late'); },
    };
  },
});`;

const TIMES = 25;

test('a hook that trips is told ten times a minute for each source, once with its stack, and counted', async (t) => {
  const dataDir = temporaryDirectory();
  writeFileSync(join(dataDir, 'tripping.mjs'), HOOKS);
  const env = { SYNC_AUTH_MODE: 'custom', SYNC_HOOKS: './tripping.mjs' };
  const server = await startChildServer(t, { dataDir, env });
  const device = new Device(1);
  const get = (token: string, path: string) =>
    fetch(`${server.httpUrl}${path}`, {
      headers: { 'x-site-id': device.siteId, authorization: token },
    });
  const shake = async (token: string) => {
    const client = await TestClient.open(server.wsUrl);
    client.send({ type: 'handshake', siteId: device.siteId, token });
    assert.equal((await client.nextWhere(() => true)).code, 'HOOK_FAILED');
    client.socket.terminate();
  };
  const writer = await TestClient.join(server.wsUrl, { ...device, token: 'ann' }, t);
  for (let i = 0; i < TIMES; i++) {
    assert.equal((await get('nobody', '/changes')).status, 500);
    await shake('stranger');
    assert.equal((await get('ann', '/hooks/tripping/boom')).status, 500);
    const changes = [device.write({ pk: [i], set: { a: null } })];
    writer.send({ type: 'apply_changes', changes });
    assert.equal((await writer.next('error')).code, 'HOOK_FAILED');
    await writer.apply(device.write({ pk: [i], set: { a: 1 } }));
  }
  await server.kill('SIGTERM');
  const output = server.output();
  const linesOf = (start: string) =>
    output.split('\n').filter((line) => line.includes(`:error ${start}`));
  for (const [topic, told] of [
    ['tripping: onAuthorize', 'error: '],
    ['tripping: onClientConnect', 'error: '],
    ['tripping: onBeforeApplyChanges', 'error: '],
    ['tripping: onAfterApplyChanges', 'error: '],
    ['GET /sync/hooks/tripping/boom', ''],
  ]) {
    assert.equal(linesOf(`${topic}${told === '' ? ':' : ` ${told}`}`).length, 10, topic);
    const [summary = '', ...more] = linesOf(`${topic} from `);
    assert.match(summary, / from 127\.0\.0\.1: 15 more failed within a minute$/);
    assert.deepEqual(more, []);
  }
  const stacks = output.match(/ at .*\bonAuthorize\b/g) ?? [];
  assert.equal(stacks.length, 1, 'a stack');
});

test('databases that cannot be opened, and promises that nobody waits for, are told ten times a minute', async (t) => {
  const dataDir = temporaryDirectory();
  writeFileSync(join(dataDir, 'tripping.mjs'), HOOKS);
  const name = databaseIdToDirectoryName('broken');
  // In place of a directory.
  writeFileSync(join(dataDir, name), '');
  const env = { SYNC_AUTH_MODE: 'custom', SYNC_HOOKS: './tripping.mjs' };
  const server = await startChildServer(t, { dataDir, env });
  const headers = { 'x-site-id': new Device(1).siteId, authorization: 'ann' };
  for (let i = 0; i < TIMES; i++) {
    const broken = await fetch(`${server.httpUrl}/broken/changes`, { headers });
    assert.equal(broken.status, 503);
    const stray = await fetch(`${server.httpUrl}/hooks/tripping/stray`, { headers });
    assert.equal(stray.status, 200);
  }
  await server.kill('SIGTERM');
  const output = server.output();
  const count = (pattern: RegExp) => output.match(pattern)?.length ?? 0;
  assert.equal(count(/:error database broken cannot be opened: /g), 10);
  assert.equal(count(/:error opening databases from .*user ann.*: 15 more failed/g), 1);
  assert.equal(count(/:error tripping: a promise rejected, and nobody waited for it: /g), 10);
  assert.equal(count(/:error tripping: promises from .*: 15 more were left behind/g), 1);
  assert.equal(count(/:error .*(?:cannot be opened|nobody waited)/g), 20);
});
