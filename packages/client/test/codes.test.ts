/**
 * What the client does when a server answers with each code: to a batch, to a request for changes, and
 * to the handshake.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERROR_CODES, type ErrorCode } from '../../../src/protocol/error-codes.ts';
import { WS_OUTCOMES } from '../../../src/protocol/ws-outcomes.ts';
import type { SyncClient } from '../src/index.ts';
import { impatient, startClient, synced, until } from './support/client.ts';
import { FATES } from './support/fates.ts';
import { ScriptedServer } from './support/scripted-server.ts';

const CODES = Object.keys(ERROR_CODES) as ErrorCode[];

interface Scene {
  server: ScriptedServer;
  client: SyncClient;
  tokens: string[];
}

/** @param type the first such message is answered with the code, as a coordinator does */
async function play(
  t: { after(work: () => unknown): void },
  code: ErrorCode,
  type: 'apply_changes' | 'get_changes' | 'handshake',
): Promise<Scene> {
  const server = await ScriptedServer.start(t);
  const tokens: string[] = [];
  const client = await startClient(t, {
    url: server.url,
    environment: impatient(),
    connect: false,
    token: () => {
      tokens.push(`token ${tokens.length}`);
      return tokens.at(-1);
    },
  });
  // Has a position to go on from.
  client.connect();
  await synced(client);
  client.disconnect();
  tokens.length = 0;
  server.received.length = 0;
  let isFirst = true;
  server.script = (message, socket) => {
    if (!isFirst || message.type !== type) return false;
    isFirst = false;
    const { fatal, close, handshakeClose } = WS_OUTCOMES[code];
    const requestId = 'requestId' in message ? message.requestId : undefined;
    // Behind the device's clock: by its own, a new date of the same millisecond may be the old one.
    const serverTimeMs = code === 'CLOCK_DRIFT' ? Date.now() - 60_000 : undefined;
    const error = { type: 'error', code, message: `told ${code}`, fatal, serverTimeMs, requestId };
    socket.send(JSON.stringify(error));
    const closeCode = type === 'handshake' ? handshakeClose : close;
    if (closeCode !== undefined) socket.close(closeCode, code);
    return true;
  };
  return { server, client, tokens };
}

for (const code of CODES) {
  const fate = FATES[code];
  test(`a batch that is answered ${code}: ${fate}`, async (t) => {
    const { server, client, tokens } = await play(t, code, 'apply_changes');
    const write = client.transact((tx) => {
      tx.table('tasks').set([1], { title: 'first' });
    });
    client.connect();
    if (fate === 'kept until connect') {
      await until(client, ({ connection }) => connection === 'refused');
      assert.equal(write.state, 'local');
      assert.equal(client.status.error?.message, `told ${code}`);
      client.setToken('another');
    }
    const settled = await write.settled;
    assert.equal(settled, fate === 'rejected' ? 'rejected' : 'acknowledged');
    assert.equal(server.stored.size, fate === 'rejected' ? 0 : 1);
    assert.equal(client.table('tasks').get([1])?.title, fate === 'rejected' ? undefined : 'first');
    const outcomes = client.outcomes.list().map(({ state, code }) => ({ state, code }));
    assert.deepEqual(outcomes, fate === 'rejected' ? [{ state: 'rejected', code }] : []);
    const [first, second] = server.batches.map(({ changes }) => changes[0]);
    assert.equal(first?.hlc === second?.hlc, fate !== 'dated anew' && fate !== 'rejected');
    assert.equal(server.countOf('get_snapshot'), fate === 'after a snapshot' ? 1 : 0);
    if (fate === 'with a newer token') assert.equal(tokens.length, 2);
    // The queue goes on.
    const next = client.transact((tx) => {
      tx.table('tasks').set([2], { title: 'next' });
    });
    assert.equal(await next.settled, 'acknowledged');
    assert.equal(client.status.pending, 0);
  });

  test(`a request for changes that is answered ${code}`, async (t) => {
    const { server, client } = await play(t, code, 'get_changes');
    client.connect();
    if (WS_OUTCOMES[code].fatal) {
      await until(client, ({ connection }) => connection === 'refused');
      client.connect();
    }
    await synced(client);
    // Who may not read is not asked again until the next connection; a snapshot leads to another request.
    const times = code === 'NOT_AUTHORIZED' ? 1 : 2;
    assert.equal(server.countOf('get_changes'), times);
    assert.equal(server.countOf('get_snapshot'), code === 'SNAPSHOT_REQUIRED' ? 1 : 0);
    assert.equal(client.status.error?.message, times === 1 ? `told ${code}` : undefined);
  });

  test(`a handshake that is answered ${code}`, async (t) => {
    const { server, client, tokens } = await play(t, code, 'handshake');
    client.connect();
    if (WS_OUTCOMES[code].fatal) {
      await until(client, ({ connection }) => connection === 'refused');
      assert.equal(server.countOf('handshake'), 1);
      client.connect();
    }
    await synced(client);
    assert.equal(server.countOf('handshake'), 2);
    assert.deepEqual(tokens, ['token 0', 'token 1']);
    assert.equal(server.countOf('get_snapshot'), 0);
  });
}
