/** Clients of a real server on a network that cuts, delays and duplicates. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCoordinator, type TestOwner } from '../../../src/testing/index.ts';
import { createEnvironment } from '../src/environment.ts';
import { autoTransport, httpTransport } from '../src/http/index.ts';
import type { ClientStore, SyncClient } from '../src/index.ts';
import { memoryStore } from '../src/stores/memory.ts';
import { Socket, startClient, synced, untilTable } from './support/client.ts';
import { createRandom, RoughProxy } from './support/rough-proxy.ts';

const WRITES = 40;

async function play(t: TestOwner, seed: number, transports: readonly string[]) {
  const server = await startCoordinator(t, { config: { limits: { pageBytes: 65_536 } } });
  const proxy = await RoughProxy.start(t, Number(new URL(server.httpUrl).port), seed);
  const random = createRandom(seed + 1);
  const stores: ClientStore[] = transports.map(() => memoryStore());
  const open = (i: number): Promise<SyncClient> => {
    const options = { pollMs: 30 };
    const kinds = { http: httpTransport(options), auto: autoTransport(options), ws: undefined };
    return startClient(t, {
      url: `ws://127.0.0.1:${proxy.port}/sync/ws`,
      store: stores[i],
      transport: kinds[transports[i] as keyof typeof kinds],
      // Pauses are shorter by far, so that there is more of what interrupts them.
      environment: { ...createEnvironment({ WebSocket: Socket }), random: () => random() / 20 },
    });
  };
  const clients = await Promise.all(stores.map((_, i) => open(i)));
  const writes = [];
  for (let n = 0; n < WRITES; n++) {
    for (const [i, client] of clients.entries()) {
      writes.push(
        client.transact((tx) => {
          tx.table('own').set([i, n], { text: 'x'.repeat(Math.floor(random() * 2_000)) });
          tx.table('shared').set([Math.floor(random() * 10)], { by: i, n });
        }),
      );
      if (random() < 0.1) {
        client.disconnect();
        client.connect();
      }
    }
    await new Promise((resolve) => setTimeout(resolve, random() * 10));
  }
  const fates = await Promise.all(writes.map(({ settled }) => settled));
  proxy.isRough = false;
  await Promise.all(clients.map(synced));
  const isWhole = (rows: readonly unknown[]) => rows.length === WRITES * clients.length;
  await Promise.all(clients.map((client) => untilTable(client, 'own', isWhole)));
  // One that has seen nothing of all this knows what the server has.
  const witness = await startClient(t, { url: server.wsUrl });
  await synced(witness);
  assert.ok(isWhole(witness.table('own').all()));
  const truth = JSON.stringify(witness.table('shared').all());
  for (const client of clients) {
    // What was written last is on its way to the others.
    await untilTable(client, 'shared', (rows) => JSON.stringify(rows) === truth);
    assert.deepEqual(client.table('own').all(), witness.table('own').all());
  }
  assert.ok(fates.every((fate) => fate === 'acknowledged' || fate === 'superseded'));
  await Promise.all(clients.map((client) => client.close()));
  proxy.cutAll();
  return proxy;
}

for (const seed of [1, 2, 3]) {
  test(`clients on a rough network converge, and each write gets its answer (seed ${seed})`, async (t) => {
    const proxy = await play(t, seed, ['ws', 'ws', 'ws']);
    assert.ok(proxy.cuts > 0);
    assert.ok(proxy.duplicates > 0);
  });
}

test('so do clients over HTTP, and such that choose', async (t) => {
  const proxy = await play(t, 4, ['http', 'auto', 'ws']);
  assert.ok(proxy.cuts > 0);
});
