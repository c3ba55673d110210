/** A snapshot that waits for the memory for its next row holds nothing of the last one. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoordinatorHooks } from '../../../src/hooks/types.ts';
import { readerOf } from '../../../src/service/access/rights.ts';
import { streamOf } from '../../../src/service/http/stream-of.ts';
import { Device, siteBytes } from '../../../src/testing/device.ts';
import { deferred } from '../../hooks/support.ts';
import { isForgotten } from '../../support/forgotten.ts';
import { createTestService } from '../support.ts';

const CLIENT = { userId: 'ann', siteId: siteBytes(2), databaseId: 'db' };
const LONG = 1024 * 1024;
const FILTERED: [how: string, hooks: CoordinatorHooks][] = [
  ['as it is stored', {}],
  ['filtered', { onBeforeSendChanges: (_client, sets) => sets }],
];

for (const [how, hooks] of FILTERED) {
  test(`a snapshot that waits holds no row: ${how}`, async (t) => {
    const { service } = createTestService(t, hooks);
    const access = service.access('db');
    t.after(() => access.release());
    const rows = ['a', 'b'].map((pk) => ({ pk: [pk], set: { text: pk.repeat(LONG) } }));
    const writer = { ...CLIENT, siteId: siteBytes(1) };
    await service.handleApplyChanges(writer, access, [new Device(1).write(...rows)]);
    const waits = deferred();
    const room = deferred();
    let admitted = 0;
    const admit = async (bytes: number) => {
      if (bytes === 0 || ++admitted === 1) return;
      waits.resolve();
      await room.promise;
    };
    const memory = { admit, inTurn: <T>(read: () => Promise<T>) => read() };
    const snapshot = await service.delivery.snapshots.open(readerOf(CLIENT), access, { memory });
    let row: WeakRef<object> | undefined;
    let length = 0;
    const stream = streamOf(snapshot.chunks);
    const ended = new Promise((resolve) => stream.once('end', resolve));
    stream.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (chunk.length > LONG) row ??= new WeakRef(chunk.buffer);
    });
    await waits.promise;
    assert.ok(await isForgotten(row));
    assert.ok(length < 2 * LONG);
    room.resolve();
    await ended;
    assert.ok(length > 2 * LONG);
    await snapshot.close();
  });
}
