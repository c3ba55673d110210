/** What the client does when a server answers over HTTP with each code, and with what a proxy answers. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { ERROR_CODES, type ErrorCode } from '../../../src/protocol/error-codes.ts';
import { HTTP_STATUSES } from '../../../src/protocol/http-statuses.ts';
import type { TestOwner } from '../../../src/testing/index.ts';
import { httpTransport } from '../src/http/index.ts';
import type { SyncClient } from '../src/index.ts';
import type { ChangeSet } from '../src/protocol/messages.ts';
import { impatient, startClient, synced, until } from './support/client.ts';
import { FATES } from './support/fates.ts';
import { POSITION, SNAPSHOT } from './support/scripted-server.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server of a few lines. @param answerOnce to the first batch */
async function start(t: TestOwner, answerOnce: Answer) {
  const batches: ChangeSet[][] = [];
  const tokens: unknown[] = [];
  let snapshots = 0;
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    const { method = '', url = '' } = request;
    if (method === 'POST') {
      batches.push(JSON.parse(body));
      tokens.push(request.headers.authorization);
      if (batches.length === 1) return answerOnce(request, response);
    }
    if (url.endsWith('/snapshot')) {
      snapshots++;
      return response.end(SNAPSHOT.map((chunk) => `${JSON.stringify(chunk)}\n`).join(''));
    }
    const page = { changes: [], hasMore: false, watermark: POSITION };
    const result = { applied: 1, skipped: 0, conflicts: 0, transactions: 1 };
    response.end(JSON.stringify({ ok: true, data: method === 'POST' ? result : page }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  let asked = 0;
  const client = await startClient(t, {
    url: `ws://127.0.0.1:${port}/sync/ws`,
    environment: impatient(),
    token: () => `token ${asked++}`,
    transport: httpTransport({ pollMs: 20 }),
  });
  await synced(client);
  return { client, batches, tokens, snapshots: () => snapshots };
}

function set(client: SyncClient, id: number) {
  return client.transact((tx) => {
    tx.table('tasks').set([id], { title: 'a task' });
  });
}

for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
  const fate = FATES[code];
  test(`a batch that is answered ${code} over HTTP: ${fate}`, async (t) => {
    const { client, batches, tokens, snapshots } = await start(t, (_request, response) => {
      // Behind the device's clock: by its own, a new date of the same millisecond may be the old one.
      const serverTimeMs = code === 'CLOCK_DRIFT' ? Date.now() - 60_000 : undefined;
      const error = { code, message: `told ${code}`, serverTimeMs };
      response.writeHead(HTTP_STATUSES[code]).end(JSON.stringify({ ok: false, error }));
    });
    const write = set(client, 1);
    if (fate === 'kept until connect') {
      await until(client, ({ connection }) => connection === 'refused');
      assert.equal(write.state, 'local');
      client.connect();
    }
    assert.equal(await write.settled, fate === 'rejected' ? 'rejected' : 'acknowledged');
    assert.equal(client.outcomes.list().length, fate === 'rejected' ? 1 : 0);
    assert.equal(snapshots(), fate === 'after a snapshot' ? 2 : 1);
    assert.equal(tokens[0], 'Bearer token 0');
    if (fate === 'with a newer token') assert.equal(tokens[1], 'Bearer token 1');
    const [first, second] = batches.map(([changeSet]) => changeSet);
    if (fate === 'dated anew') assert.notEqual(first?.hlc, second?.hlc);
    if (fate === 'again') assert.deepEqual(first, second);
    assert.equal(await set(client, 2).settled, 'acknowledged');
  });
}

for (const { status, fate } of [
  { status: 413, fate: 'rejected' },
  { status: 429, fate: 'acknowledged' },
  { status: 502, fate: 'acknowledged' },
  { status: 503, fate: 'acknowledged' },
]) {
  test(`a proxy's own ${status} to a batch: ${fate}`, async (t) => {
    const { client } = await start(t, (_request, response) => {
      response.writeHead(status, { 'Retry-After': '0' }).end('<html>of a proxy</html>');
    });
    assert.equal(await set(client, 1).settled, fate);
    assert.equal(await set(client, 2).settled, 'acknowledged');
  });
}

test('a batch over HTTP whose answer was lost is sent again', async (t) => {
  const { client, batches, snapshots } = await start(t, (_request, response) => {
    response.destroy();
  });
  assert.equal(await set(client, 1).settled, 'acknowledged');
  assert.equal(batches.length, 2);
  assert.equal(snapshots(), 1);
});
