/** Clients on which a hook trips can't fill the log with it, over either transport. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
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
    routes((app) => app.get('/boom', () => { throw new Error('boom'); }));
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
