/** What a hook is told of the request that it is called for, and what the hook calls can find out. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { format } from 'node:util';
import debug from 'debug';
import { currentCall } from '../../src/hooks/current-call.ts';
import { defineHooks } from '../../src/hooks/define-hooks.ts';
import type { HookCall } from '../../src/hooks/types.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { aMoment } from '../support/moment.ts';
import { startServer } from '../support/server.ts';

type Seen = Pick<
  HookCall,
  'requestId' | 'connectionId' | 'transport' | 'remoteAddress' | 'databaseId'
>;

const copy = ({ requestId, connectionId, transport, remoteAddress, databaseId }: Seen): Seen => ({
  ...{ requestId, connectionId, transport, remoteAddress, databaseId },
});

/** What lies below a hook, and is given nothing. */
async function deepDown(): Promise<Seen | undefined> {
  await setImmediate();
  const call = currentCall();
  return call && copy(call);
}

/** A server whose hooks note down what they know of their calls. */
async function start(t: { after(work: () => unknown): void }) {
  const seen: [hook: string, call: Seen][] = [];
  const note = async (hook: string, call: Seen) => {
    seen.push([hook, copy(call)]);
    assert.deepEqual(await deepDown(), copy(call), hook);
  };
  const hooks = defineHooks({
    name: 'noting',
    setup: (_options, { logger }) => ({
      async onAuthenticate(context) {
        await note('onAuthenticate', context);
        return context.siteId && { siteId: context.siteId };
      },
      async onAuthorize(_client, { type }, call) {
        await note(`onAuthorize ${type}`, call);
        logger('may %s', type);
        return true;
      },
      async onBeforeApplyChanges(_client, changes, call) {
        await note('onBeforeApplyChanges', call);
        return { approved: changes, rejected: [] };
      },
      onAfterApplyChanges: (_client, _changes, _result, call) => note('onAfterApplyChanges', call),
      async onBeforeSendChanges(_client, changes, call) {
        await note('onBeforeSendChanges', call);
        return changes;
      },
      async onClientConnect(_client, _socket, call) {
        await note('onClientConnect', call);
        return true;
      },
      onClientHandover: (_client, call) => note('onClientHandover', call),
      onClientDisconnect: (_client, call) => note('onClientDisconnect', call),
    }),
  });
  const config = { storage: 'memory:', auth: { mode: 'custom' as const } };
  return { server: await startServer(t, { config, hooks }), seen };
}

test('over HTTP all hooks of a request name it, and no other', async (t) => {
  const { server, seen } = await start(t);
  const device = new Device(1);
  const headers = { 'x-site-id': device.siteId };
  const ask = (path: string, init: RequestInit = {}) =>
    fetch(`${server.httpUrl}/${path}`, { headers, ...init });
  const changes = [device.write({ pk: [1], set: { x: 1 } })];
  const body = JSON.stringify({ changes });
  await Promise.all([
    ask('shop/changes', { method: 'POST', body }),
    ask('shop/changes'),
    ask('other/snapshot').then((answer) => answer.text()),
  ]);
  const ids = new Set(seen.map(([, { requestId }]) => requestId));
  assert.equal(ids.size, 3);
  const hooksOf = (id: string | undefined) =>
    seen.flatMap(([hook, { requestId }]) => (requestId === id ? hook : []));
  const post = seen.find(([hook]) => hook === 'onBeforeApplyChanges')?.[1];
  assert.deepEqual(hooksOf(post?.requestId), [
    ...['onAuthenticate', 'onAuthorize apply_changes'],
    ...['onBeforeApplyChanges', 'onAfterApplyChanges'],
  ]);
  for (const [hook, { connectionId, transport, remoteAddress, databaseId, requestId }] of seen) {
    assert.equal(typeof requestId, 'string', hook);
    assert.deepEqual([connectionId, transport], [undefined, 'http'], hook);
    assert.equal(remoteAddress, '127.0.0.1', hook);
    const isShop = hooksOf(requestId).every((name) => !name.includes('snapshot'));
    assert.equal(databaseId, isShop ? 'shop' : 'other', hook);
  }
});

test('over a WebSocket they name the connection, and the message where one is answered', async (t) => {
  const { server, seen } = await start(t);
  const [device, other] = [new Device(1), new Device(2)];
  const join = ({ siteId }: Device) => TestClient.join(server.wsUrl, { siteId }, t);
  const writer = await join(other);
  const client = await TestClient.open(server.wsUrl);
  client.send({ type: 'handshake', siteId: device.siteId, protocolVersion: 1 });
  const { connectionId } = await client.next('handshake_ack');
  seen.length = 0;
  await client.apply(device.write({ pk: [1], set: { x: 1 } }));
  await client.changesSince();
  await client.snapshot();
  await writer.apply(other.write({ pk: [2], set: { x: 1 } }));
  await client.nextPush();
  await client.close();
  while (!seen.some(([hook]) => hook === 'onClientDisconnect')) await aMoment();
  const own = seen.filter(([, call]) => call.connectionId === connectionId);
  assert.ok(
    own.every(([, call]) => call.transport === 'websocket' && call.databaseId === 'default'),
  );
  const told = own.map(([hook, { requestId }]) => [
    hook,
    requestId?.replace(`${connectionId}`, ''),
  ]);
  assert.deepEqual(
    told.filter(([hook]) => hook !== 'onAfterApplyChanges'),
    [
      ['onAuthorize apply_changes', ':2'],
      ['onBeforeApplyChanges', ':2'],
      ['onAuthorize get_changes', ':3'],
      ['onAuthorize get_snapshot', ':4'],
      ['onBeforeSendChanges', ':4'],
      ['onBeforeSendChanges', undefined],
      ['onClientDisconnect', undefined],
    ],
  );
  assert.deepEqual(
    told.filter(([hook]) => hook === 'onAfterApplyChanges'),
    [['onAfterApplyChanges', ':2']],
  );
});

test('what a module logs during a call begins with the id of the request', async (t) => {
  const lines: string[] = [];
  t.mock.method(debug, 'log', (...args: unknown[]) => lines.push(format(...args)));
  const namespaces = debug.disable();
  debug.enable('sync-coordinator:hook:noting');
  t.after(() => debug.enable(namespaces));
  const { server, seen } = await start(t);
  const headers = { 'x-site-id': new Device(1).siteId };
  await fetch(`${server.httpUrl}/changes`, { headers });
  const [, call] = seen.find(([hook]) => hook === 'onAuthorize get_changes') ?? [];
  assert.match(lines.join('\n'), new RegExp(`\\[${call?.requestId}\\] may get_changes`));
});

test('outside of a hook there is no call', () => {
  assert.equal(currentCall(), undefined);
});
