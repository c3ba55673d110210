/** A client that hangs up is no failure of the server: nothing is told of it, and nothing counted. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startChildServer } from '../support/child-server.ts';
import { connectRaw } from '../support/raw-connection.ts';
import { temporaryDirectory } from '../support/server.ts';

/**
 * For two users it waits: for `slow-reader` with what is sent until the client has gone, which its call is
 * told; for `slow-writer` with a batch, which is judged all the same, until it is let go on.
 */
const HOOKS = `
import { defineHooks } from 'sync-coordinator';
const open = () => { let go; return { reached: new Promise((then) => { go = then; }), go }; };
export default defineHooks({
  name: 'waiting',
  setup(_options, { routes }) {
    let [asked, left] = [open(), open()];
    routes((app) => {
      app.get('/asked', async () => { await asked.reached; asked = open(); return {}; });
      app.get('/left', async () => { await left.reached; left = open(); return {}; });
      app.get('/go', async () => { left.go(); return {}; });
    });
    return {
      onAuthenticate: ({ siteId, token }) => ({ siteId, userId: token }),
      onBeforeSendChanges: async ({ userId }, sets, { signal }) => {
        if (userId !== 'slow-reader') return sets;
        asked.go();
        await new Promise((then) => signal.addEventListener('abort', then));
        left.go();
        return sets;
      },
      onBeforeApplyChanges: async ({ userId }, sets) => {
        if (userId === 'slow-writer') {
          asked.go();
          await left.reached;
        }
        return { approved: sets, rejected: [] };
      },
    };
  },
});`;

test('clients that hang up while they are answered leave no line in the log, and are counted as no errors', async (t) => {
  const dataDir = temporaryDirectory();
  writeFileSync(join(dataDir, 'waiting.mjs'), HOOKS);
  const env = { SYNC_AUTH_MODE: 'custom', SYNC_HOOKS: './waiting.mjs' };
  const server = await startChildServer(t, { dataDir, env });
  const [writer, reader] = [new Device(1), new Device(2)];
  const beaten = reader.write({ pk: [1], set: { a: 0 } });
  const author = await TestClient.join(server.wsUrl, { ...writer, token: 'quick' }, t);
  await author.apply(writer.migrate('create_table', 'a'), writer.write({ pk: [1], set: { a: 1 } }));
  const until = async (what: string) => {
    const headers = { 'x-site-id': writer.siteId, authorization: 'quick' };
    assert.equal((await fetch(`${server.httpUrl}/hooks/waiting/${what}`, { headers })).status, 200);
  };
  const whileAnswered = async (token: string, hangUp: () => unknown) => {
    await until('asked');
    hangUp();
    if (token === 'slow-writer') await until('go');
    await until('left');
  };
  const batch = (pk: number) => [reader.write({ pk: [pk], set: { a: pk } })];
  const requests = [
    ['slow-reader', 'GET /sync/changes', ''],
    ['slow-reader', 'GET /sync/snapshot', ''],
    // What it may know of who has won is what it may read.
    ['slow-reader', 'POST /sync/changes', JSON.stringify([beaten])],
    ['slow-writer', 'POST /sync/changes', JSON.stringify(batch(2))],
  ] as const;
  for (const [token, request, sent] of requests) {
    const socket = await connectRaw(t, server);
    socket.write(
      [
        ...[`${request} HTTP/1.1`, 'Host: x', `Authorization: ${token}`],
        ...[`X-Site-Id: ${reader.siteId}`, `Content-Length: ${sent.length}`, '', sent],
      ].join('\r\n'),
    );
    await whileAnswered(token, () => socket.destroy());
  }
  for (const [token, message] of [
    ['slow-reader', { type: 'get_changes' }],
    ['slow-reader', { type: 'get_snapshot' }],
    ['slow-reader', { type: 'apply_changes', changes: [beaten] }],
    ['slow-writer', { type: 'apply_changes', changes: batch(3) }],
  ] as const) {
    const client = await TestClient.join(server.wsUrl, { ...reader, token }, t);
    client.send(message);
    await whileAnswered(token, () => client.socket.terminate());
  }
  const metrics = await (await fetch(`${server.httpUrl}/metrics`)).text();
  assert.deepEqual(metrics.match(/^sync_errors_total\{.*$/gm) ?? [], []);
  await server.kill('SIGTERM');
  assert.doesNotMatch(server.output(), /:(?:error|warn) |\n +at /);
});
