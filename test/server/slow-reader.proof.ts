import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openStorage } from '../../src/storage/by-address/open-storage.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startChildServer } from '../support/child-server.ts';
import { openEngine } from '../support/engine.ts';
import { temporaryDirectory } from '../support/server.ts';

const MIB = 1024 * 1024;
const QUEUED_BYTES_PER_SOCKET = 4 * MIB;
/** What the runtime may add on its own: pages of the store's files, garbage not yet collected. */
const CONSTANT_BYTES = 48 * MIB;
const ROWS = 100_000;
const COLUMNS = 10;
const ROWS_PER_BATCH = 1000;

/** Straight through the engine: what is tested is the reading. */
async function fill(dataDir: string): Promise<void> {
  const storage = await openStorage({ url: `leveldb:${dataDir}`, durability: 'os', dataDir });
  const store = await storage.open('default');
  const { manager } = await openEngine({ store });
  const device = new Device(1);
  const columns = Array.from({ length: COLUMNS }, (_, i) => [`column_${i}`, `value ${i}`]);
  for (let row = 0; row < ROWS; row += ROWS_PER_BATCH) {
    const rows = Array.from({ length: ROWS_PER_BATCH }, (_, i) => ({
      pk: [row + i],
      set: Object.fromEntries(columns),
    }));
    const { applied } = await manager.apply([device.write(...rows)]);
    assert.equal(applied, ROWS_PER_BATCH * COLUMNS);
  }
  await manager.close();
  await store.close();
  await storage.close();
}

/** Resolves when the server has queued for a reader all that it is going to. */
async function queueSettled(httpUrl: string): Promise<number> {
  let last = -1;
  for (;;) {
    const metrics = await (await fetch(`${httpUrl}/metrics`)).text();
    const queued = Number(/^sync_queued_bytes (\d+)/m.exec(metrics)?.[1]);
    if (queued > 0 && queued === last) return queued;
    last = queued;
    await delay(200);
  }
}

test('a snapshot of a million cells to a reader that stalls costs its queue and no more', async (t) => {
  const dataDir = temporaryDirectory();
  await fill(dataDir);
  const args = ['--limits-queued-bytes-per-socket', String(QUEUED_BYTES_PER_SOCKET)];
  const server = await startChildServer(t, { dataDir, args });
  const warm = await TestClient.join(server.wsUrl, new Device(3), t);
  await warm.settled();
  const before = server.residentBytes();

  const reader = await TestClient.join(server.wsUrl, new Device(2), t);
  let entries = 0;
  let completed = false;
  reader.socket.removeAllListeners('message');
  const complete = new Promise<void>((resolve) => {
    reader.socket.on('message', (data) => {
      const { type, chunk } = JSON.parse(data.toString());
      if (type === 'snapshot_complete') resolve();
      if (chunk?.type === 'column-versions') entries += chunk.entries.length;
      if (chunk?.type === 'footer') completed = true;
    });
  });
  const first = once(reader.socket, 'message');
  reader.send({ type: 'get_snapshot' });
  await first;
  reader.socket.pause();
  const queued = await queueSettled(server.httpUrl);
  const grown = server.residentBytes() - before;
  assert.ok(queued <= QUEUED_BYTES_PER_SOCKET, `${queued} bytes are queued`);
  assert.ok(
    grown <= QUEUED_BYTES_PER_SOCKET + CONSTANT_BYTES,
    `the process grew by ${(grown / MIB).toFixed(1)} MiB`,
  );

  // It stands still, and everybody else goes on.
  await warm.settled();
  reader.socket.resume();
  await complete;
  assert.equal(entries, ROWS * COLUMNS);
  assert.ok(completed);
  const grownInAll = server.residentBytes() - before;
  assert.ok(
    grownInAll <= QUEUED_BYTES_PER_SOCKET + 2 * CONSTANT_BYTES,
    `after all of it the process had grown by ${(grownInAll / MIB).toFixed(1)} MiB`,
  );

  // The same over HTTP, where there is no queue of ours: what is not taken is not read.
  const overHttp = connect(server.port, '127.0.0.1');
  t.after(() => overHttp.destroy());
  overHttp.on('error', () => undefined);
  const site = new Device(4).siteId;
  overHttp.write(`GET /sync/snapshot HTTP/1.1\r\nHost: localhost\r\nX-Site-Id: ${site}\r\n\r\n`);
  await once(overHttp, 'readable');
  const readings: number[] = [];
  while (readings.length < 20) {
    const metrics = await (await fetch(`${server.httpUrl}/metrics`)).text();
    assert.match(metrics, /^sync_snapshot_streams 1$/m);
    readings.push(server.residentBytes() - before);
  }
  const grownOverHttp = Math.max(...readings);
  assert.ok(
    grownOverHttp <= QUEUED_BYTES_PER_SOCKET + 2 * CONSTANT_BYTES,
    `with a reader over HTTP it had grown by ${(grownOverHttp / MIB).toFixed(1)} MiB`,
  );
  t.diagnostic(`over HTTP by ${(grownOverHttp / MIB).toFixed(1)} MiB`);
  t.diagnostic(
    `grew by ${(grown / MIB).toFixed(1)} MiB stalled, ${(grownInAll / MIB).toFixed(1)} in all`,
  );
});
