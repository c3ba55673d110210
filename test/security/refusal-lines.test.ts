/** Whoever is refused is one line of the log, with all reasons, however many questions were asked about it. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startChildServer } from '../support/child-server.ts';
import { temporaryDirectory } from '../support/server.ts';

/** Tokens name the user, and `<user> <operation>` may do that one thing. */
const HOOKS = `
const mayBe = new Set(['writer apply_changes', 'leaver get_changes']);
export default {
  onAuthenticate: ({ siteId, token }) => ({ siteId, userId: token }),
  onAuthorize({ userId }, { type }) {
    if (type === 'apply_changes' && userId === 'writer') mayBe.delete('leaver get_changes');
    if (userId === 'stranger' && type !== 'get_snapshot') throw new Error('no ' + type);
    return mayBe.has(userId + ' ' + type);
  },
};`;

test('a refused handshake is one line, who is let in none, over both transports', async (t) => {
  const dataDir = temporaryDirectory();
  writeFileSync(join(dataDir, 'rights.mjs'), HOOKS);
  const env = { SYNC_AUTH_MODE: 'custom', SYNC_HOOKS: './rights.mjs' };
  const server = await startChildServer(t, {
    ...{ dataDir, env },
    args: ['--hooks-reauthorize-ms', '1'],
  });
  const device = new Device(1);
  const shake = async (token: string, { siteId } = device) => {
    const client = await TestClient.open(server.wsUrl);
    t.after(() => client.socket.terminate());
    client.send({ type: 'handshake', siteId, token });
    return { client, first: await client.nextWhere(() => true) };
  };
  const lines = () => {
    const said = server.output().split('\n');
    return said.flatMap((line) => /sync-coordinator:auth:warn (refused .*)/.exec(line)?.[1] ?? []);
  };
  const of = (user: string) =>
    `from 127.0.0.1; user ${user}; site ${device.siteId}; database default`;
  const expected: string[] = [];

  assert.equal((await shake('nobody')).first.code, 'NOT_AUTHORIZED');
  expected.push(
    `refused websocket handshake: NOT_AUTHORIZED; ${of('nobody')}; ./rights.mjs: "not allowed"`,
  );
  assert.equal((await shake('stranger')).first.code, 'HOOK_FAILED');
  const leaver = await shake('leaver');
  assert.equal(leaver.first.type, 'handshake_ack');
  const writer = await shake('writer', new Device(2));
  assert.equal(writer.first.type, 'handshake_ack', 'who may only write is let in');
  const headers = { 'x-site-id': device.siteId, authorization: 'nobody' };
  assert.equal((await fetch(`${server.httpUrl}/changes`, { headers })).status, 403);
  expected.push(`refused request: NOT_AUTHORIZED; ${of('nobody')}; ./rights.mjs: "not allowed"`);

  // Who is called like the facts of a line stays one of them.
  const forger = 'nobody; from 10.1.1.1; user "root"';
  await fetch(`${server.httpUrl}/changes`, { headers: { ...headers, authorization: forger } });
  const quoted = of(String.raw`"nobody; from 10.1.1.1; user \"root\""`);
  expected.push(`refused request: NOT_AUTHORIZED; ${quoted}; ./rights.mjs: "not allowed"`);

  // The right to read of a session is withdrawn, and it has no other.
  await writer.client.apply(new Device(2).write({ pk: [1], set: { a: 1 } }));
  assert.equal((await leaver.client.closed).code, 1008);
  expected.push(
    `refused websocket session: NOT_AUTHORIZED; ${of('leaver')}; ./rights.mjs: "not allowed"`,
  );
  await server.kill('SIGTERM');
  assert.deepEqual(lines(), expected);
});
