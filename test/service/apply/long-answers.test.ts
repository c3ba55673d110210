/** An answer may name each change of its batch, and is made as long as others have their turns. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeNamed, type RejectedChange } from '../../../src/protocol/types.ts';
import { explainForeign } from '../../../src/service/apply/rejections.ts';
import { Device, siteBytes } from '../../../src/testing/device.ts';
import { applyAnswer } from '../../../src/wire/apply-answer.ts';
import { runByTurns } from '../../../src/wire/steps.ts';
import { turnsDuring } from '../../support/turns.ts';
import { createTestService } from '../support.ts';

const COUNT = 8_000;
const CLIENT = { userId: 'ann', siteId: siteBytes(1), databaseId: 'db' };
const rows = (set: { set: { a: string } } | { delete: true }) =>
  Array.from({ length: COUNT }, (_, i) => ({ pk: [i], ...set }));

const NAMED = {
  overtaken: () => {
    const sent = new Device(1).write(...rows({ set: { a: 'x' } }));
    return { stored: new Device(2).write(...rows({ delete: true })), sent };
  },
  beaten: () => {
    const sent = new Device(1).write(...rows({ set: { a: 'x' } }));
    return { stored: new Device(2).write(...rows({ set: { a: 'y' } })), sent };
  },
};

for (const [name, make] of Object.entries(NAMED)) {
  test(`others have their turn while an answer names a long batch as ${name}`, async (t) => {
    const { service } = createTestService(t);
    const access = service.access('db');
    t.after(() => access.release());
    const { stored, sent } = make();
    const other = { ...CLIENT, siteId: siteBytes(2) };
    await service.handleApplyChanges(other, access, [stored]);
    const own = new Device(1).write(
      ...rows({ set: { a: 'z' } }).map((it) => ({ ...it, table: 'u' })),
    );
    await service.handleApplyChanges(CLIENT, access, [own]);
    const apply = (set: typeof own) =>
      turnsDuring(() => service.handleApplyChanges(CLIENT, access, [set]));
    // What is known already is merged in turns as well, and nothing is said of it.
    const known = await apply(own);
    const named = await apply(sent);
    const list = named.result.result[name as keyof typeof NAMED] ?? [];
    assert.ok(list.length >= COUNT - 1000, `${list.length} are named`);
    const turns = named.turns - known.turns;
    assert.ok(turns >= COUNT / 1000 - 2, `${turns} more than ${known.turns}`);
  });
}

test('others have their turn while a long batch is refused as dated by another device', async () => {
  const { changes, transactionId } = new Device(2).write(...rows({ set: { a: 'x' } }));
  const foreign = changes.map((item) => ({ item, transactionId, outcome: 'foreign' as const }));
  const { turns, result } = await turnsDuring(async () => runByTurns(explainForeign(foreign)));
  assert.equal(result.length, COUNT);
  assert.ok(turns >= COUNT / 1000 - 1, `${turns}`);
});

test('others have their turn while a long answer is written, and it says the same', async () => {
  const rejected = Array.from({ length: COUNT }, (_, i): RejectedChange => {
    return { reason: 'é"no', code: 'NO', schema: 'main', table: 't', pk: [BigInt(i), 'x'] };
  });
  const result = { applied: 0, skipped: 0, conflicts: 0, transactions: 1, rejected };
  const { turns, result: pieces } = await turnsDuring(async () => applyAnswer(result, { a: 1 }));
  assert.ok(turns >= COUNT / 1000 - 1, `${turns}`);
  const expected = { a: 1, ...result, rejected: [...(encodeNamed(result).rejected ?? [])] };
  assert.ok(Buffer.concat(pieces).equals(Buffer.from(JSON.stringify(expected))));
});

test('a short answer is there at once', () => {
  const counts = { applied: 0, skipped: 0, conflicts: 0, transactions: 1 };
  for (const rejected of [undefined, [], [{ reason: 'no' }]]) {
    const result = { ...counts, ...(rejected && { rejected }) };
    const pieces = applyAnswer(result);
    assert.ok(!(pieces instanceof Promise));
    assert.equal(Buffer.concat(pieces).toString(), JSON.stringify(result));
  }
});
