/** Databases that are not there, of several coordinators. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Device } from '../../../src/testing/device.ts';
import { TestClient } from '../../../src/testing/test-client.ts';
import { startPostgres } from '../../support/postgres.ts';
import { readEveryWay } from '../../support/read-every-way.ts';
import { startServer } from '../../support/server.ts';

const postgres = await startPostgres(['-c', 'fsync=off']);
after(() => postgres.stop());

test('reads leave no row, and two servers agree on one that is not there', {
  timeout: 60_000,
}, async (t) => {
  const schema = 'absent';
  const storage = postgres.url({ schema });
  const [one, other] = [
    await startServer(t, { config: { storage } }),
    await startServer(t, { config: { storage } }),
  ];
  const rows = async () => [
    ...(await postgres.rows(`SELECT database_id FROM ${schema}.databases`)),
    ...(await postgres.rows(`SELECT DISTINCT database_id FROM ${schema}.entries`)),
  ];
  for (let i = 0; i < 5; i++) await readEveryWay(t, one, `read-${i}`);
  assert.deepEqual(await rows(), []);

  const databaseId = 'new';
  const [a, b] = [new Device(1), new Device(2)];
  const acks = [];
  const clients = [];
  for (const [{ wsUrl }, { siteId }] of [
    [one, a],
    [other, b],
    [other, new Device(3)],
  ] as const) {
    const client = await TestClient.open(wsUrl);
    t.after(() => client.socket.terminate());
    client.send({ type: 'handshake', siteId, databaseId });
    acks.push((await client.next('handshake_ack')).serverSiteId);
    clients.push(client);
  }
  assert.equal(new Set(acks).size, 1, 'all are told the same coordinator');
  assert.deepEqual(await rows(), []);
  const [writer, rival, listener] = clients;
  assert.ok(writer !== undefined && rival !== undefined && listener !== undefined);
  // Both are the first to write.
  const answers = await Promise.all([
    writer.apply(a.write({ pk: [1], set: { x: 1 } })),
    rival.apply(b.write({ pk: [2], set: { x: 2 } })),
  ]);
  assert.deepEqual(
    answers.map(({ type, applied }) => [type, applied]),
    [
      ['apply_result', 1],
      ['apply_result', 1],
    ],
  );
  const pushed = new Set<string>();
  while (pushed.size < 2) for (const { siteId } of await listener.nextPush()) pushed.add(siteId);
  assert.equal((await writer.nextPush())[0]?.siteId, b.siteId);
  assert.equal((await rival.nextPush())[0]?.siteId, a.siteId);
});
