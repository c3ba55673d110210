/** What hooks read is read in the room that there is, one long change set or row after the other. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sender } from '../../../src/engine/merge/foreign-authors.ts';
import type { InTurn } from '../../../src/engine/records/in-turn.ts';
import { AcceptedBatches, PreviewReader } from '../../../src/service/apply/batch-reader.ts';
import { ByteBudget } from '../../../src/service/budgets/byte-budget.ts';
import { HookRows } from '../../../src/service/budgets/hook-rows.ts';
import { bytesFor, PageReads } from '../../../src/service/budgets/page-reads.ts';
import { bytesForRow } from '../../../src/service/budgets/row-room.ts';
import { Turns } from '../../../src/service/budgets/turns.ts';
import { createDatabaseReader } from '../../../src/service/databases/database-reader.ts';
import { createMemoryStorage } from '../../../src/storage/memory.ts';
import { Device } from '../../../src/testing/device.ts';
import { deferred } from '../../hooks/support.ts';
import { openEngine } from '../../support/engine.ts';

const LONG_BYTES = 1024 * 1024;
const READERS = 10;
/** Of a page of the log that a hook reads. */
const PAGE_BYTES = 256 * 1024;

/** Reads of a database with a long row and a short one, in this order, with room for two long ones. */
async function openReader(longBytes: number) {
  const store = await createMemoryStorage().open('test');
  const { manager } = await openEngine({ store });
  const device = new Device(1);
  await manager.apply([device.write({ pk: [1], set: { text: 'x'.repeat(LONG_BYTES) } })]);
  await manager.apply([device.write({ pk: [2], set: { text: 'short' } })]);
  const total = { limit: 'limits.answerBytes' as const, bytes: 2.5 * longBytes };
  const budget = new ByteBudget({ total, perClient: total, onLimit: () => undefined });
  const reserve = (bytes: number) => budget.reserve('hooks', bytes);
  const turns = new Turns(4);
  const inTurn: InTurn = (read) => turns.run(read);
  const reads = new PageReads();
  const rows = new HookRows({ reserve, inTurn });
  const lease = { id: 'test', manager, release: () => undefined };
  const reader = createDatabaseReader(
    async () => lease,
    async () => assert.fail('nothing is pinned'),
    () => ({ reads, rows, reserve }),
  );
  const { siteId } = device;
  const preview = () =>
    new PreviewReader({
      database: { id: 'test', open: async () => lease },
      sender: new Sender(siteId, 'known'),
      accepted: new AcceptedBatches(),
      rows,
    });
  return { reader, preview, budget, bytesMax: total.bytes };
}

type Opened = Awaited<ReturnType<typeof openReader>>;

/** Has many read at once; each goes on beyond the long one only when all the others have begun. */
async function readAtOnce({ budget, bytesMax }: Opened, read: () => AsyncIterable<bigint>) {
  const gate = deferred();
  let holding = 0;
  let most = 0;
  const reading = Array.from({ length: READERS }, async () => {
    const pks: bigint[] = [];
    for await (const pk of read()) {
      pks.push(pk);
      if (pks.length > 1) continue;
      most = Math.max(most, ++holding);
      await gate.promise;
      holding--;
    }
    return pks;
  });
  for (let i = 0; i < 200; i++) await new Promise(setImmediate);
  assert.equal(most, 2);
  assert.ok(budget.held <= bytesMax, `${budget.held} bytes are held`);
  gate.resolve();
  for (const pks of await Promise.all(reading)) assert.deepEqual(pks.map(Number), [1, 2]);
  assert.equal(most, 2);
  assert.equal(budget.held, 0);
}

test('of hooks that read a long change set at once, so many hold it as there is room for', async () => {
  const opened = await openReader(bytesFor(PAGE_BYTES, 'parsed', LONG_BYTES));
  await readAtOnce(opened, async function* () {
    for await (const { changes } of opened.reader.changes('test')) {
      for (const change of changes) yield change.pk[0] as bigint;
    }
  });
});

for (const what of ['as stored', 'with a batch'] as const) {
  test(`of hooks that read a table with a long row at once, ${what}, so many hold it as there is room for`, async () => {
    const opened = await openReader(bytesForRow(LONG_BYTES, 'parsed'));
    await readAtOnce(opened, async function* () {
      const { reader, preview } = opened;
      const table = { table: 't' };
      const rows = what === 'as stored' ? reader.rows('test', table) : preview().rows(table);
      for await (const { pk } of rows) yield pk[0] as bigint;
    });
  });

  test(`a hook that reads a long row, ${what}, waits for room, and one that reads a short one does not`, async () => {
    const { reader, preview, budget, bytesMax } = await openReader(
      bytesForRow(LONG_BYTES, 'parsed'),
    );
    const row = (key: number) => {
      const address = { table: 't', pk: [BigInt(key)] };
      return what === 'as stored' ? reader.row('test', address) : preview().row(address);
    };
    const others = await budget.reserve('hooks', LONG_BYTES);
    const most = await budget.reserve('hooks', bytesMax - 2 * LONG_BYTES);
    let isRead = false;
    const reading = row(1).finally(() => {
      isRead = true;
    });
    for (let i = 0; i < 20; i++) assert.equal((await row(2))?.values.text, 'short');
    assert.ok(!isRead);
    most.give();
    assert.equal(String((await reading)?.values.text).length, LONG_BYTES);
    others.give();
    assert.equal(budget.held, 0);
  });
}
