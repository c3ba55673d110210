/** What is sent at once, and what the outbox makes of refusals: without a network. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareHlc, encodeHlc } from '../../../src/clock/hlc.ts';
import type { ApplyAnswer } from '../src/connection/attempt.ts';
import { ServerError } from '../src/connection/server-error.ts';
import { createEnvironment } from '../src/environment.ts';
import { Outbox, type Outgoing, type Sender } from '../src/outbox.ts';
import type { ChangeSet, Migration } from '../src/protocol/messages.ts';
import { lastEdits } from '../src/transaction.ts';

const at = (wallTime: number) =>
  encodeHlc({ wallTime: BigInt(wallTime), counter: 0, siteId: new Uint8Array(16), opSeq: 0 });

function writeAt(wallTime: number, schemaMigrations: Migration[] = []): Outgoing {
  const hlc = at(wallTime);
  const cell = { schema: 'main', table: 't', pk: [1], column: 'a', value: wallTime, hlc };
  const changes = schemaMigrations.length > 0 ? [] : [{ type: 'column' as const, ...cell }];
  return [hlc, { siteId: '', transactionId: hlc, hlc, changes, schemaMigrations }];
}

/** Sends writes to a server that answers as it is told to. */
async function send(writes: Outgoing[], answerOf: (batch: readonly ChangeSet[]) => ApplyAnswer) {
  const batches: number[] = [];
  let underWay = 0;
  let atOnce = 0;
  const redated: string[] = [];
  let waiting = writes;
  let idle = () => {};
  const done = new Promise<void>((resolve) => {
    idle = resolve;
  });
  const sender: Sender = {
    canApply: true,
    apply(batch, answered) {
      batches.push(batch.length);
      atOnce = Math.max(atOnce, ++underWay);
      // As when something is written meanwhile.
      outbox.flush();
      queueMicrotask(async () => {
        underWay--;
        await answered(answerOf(batch));
        if (waiting.length === 0) idle();
      });
    },
  };
  const outbox = new Outbox(
    sender,
    {
      unanswered: () => waiting,
      async answered(batch) {
        waiting = waiting.filter((write) => !batch.includes(write));
      },
      async refused(write) {
        waiting = waiting.filter((each) => each !== write);
      },
      async redate(from) {
        const index = waiting.findIndex(([hlc]) => hlc === from);
        redated.push(...waiting.slice(index).map(([hlc]) => hlc));
        waiting = waiting.map((write, i) => (i < index ? write : writeAt(100 + i)));
      },
    },
    // It draws no pauses.
    { ...createEnvironment(), random: () => 0 },
  );
  outbox.flush();
  await done;
  return { batches, redated, atOnce };
}

const TAKEN = { applied: 1, skipped: 0, conflicts: 0, transactions: 1 };

test('only what is dated too far ahead gets other dates: what is older may be stored already', async () => {
  const writes = [1, 2, 3, 4, 5].map((i) => writeAt(i * 1000));
  const limit = at(3500);
  const { redated } = await send(writes, (batch) => {
    const isAhead = batch.some(({ hlc }) => compareHlc(hlc, limit) > 0);
    const refusal = { code: 'CLOCK_DRIFT', message: 'ahead', serverTimeMs: 3000 };
    return isAhead ? new ServerError(refusal) : TAKEN;
  });
  assert.deepEqual(redated, [at(4000), at(5000)]);
});

test('a batch is cut by changes and by length, and one is under way at a time', async () => {
  const writes = Array.from({ length: 801 }, (_, i) => writeAt(i + 1));
  assert.deepEqual((await send(writes, () => TAKEN)).batches, [400, 400, 1]);
  const long = 'x'.repeat(300_000);
  const longWrites = [1, 2, 3].map((time): Outgoing => {
    const [hlc, changeSet] = writeAt(time);
    return [hlc, { ...changeSet, changes: changeSet.changes.map((c) => ({ ...c, value: long })) }];
  });
  const { batches, atOnce } = await send(longWrites, () => TAKEN);
  assert.deepEqual(batches, [1, 1, 1]);
  assert.equal(atOnce, 1);
});

test('a batch with which the connection was lost three times is halved', async () => {
  let tries = 0;
  const { batches } = await send(
    [1, 2, 3, 4].map((time) => writeAt(time)),
    () => (++tries > 3 ? TAKEN : undefined),
  );
  assert.deepEqual(batches, [4, 4, 4, 2, 2]);
});

test('DDL is sent alone, in its place: what it is answered is of it', async () => {
  const ddl: Migration = {
    ...{ type: 'create_table', schema: 'main', table: 't', ddl: '', schemaVersion: 1 },
    hlc: at(3),
  };
  const writes = [writeAt(1), writeAt(2), writeAt(3, [ddl]), writeAt(4), writeAt(5)];
  assert.deepEqual((await send(writes, () => TAKEN)).batches, [2, 1, 2]);
});

test('of several edits of one cell in a transaction the last is sent, and of several deletions', () => {
  const row = { schema: 'main', table: 't', pk: [1] };
  const cell = (value: unknown) => ({ type: 'column' as const, ...row, column: 'a', value });
  const changes = lastEdits([
    cell(1),
    { type: 'delete', ...row },
    cell(2),
    cell(3),
    { type: 'delete', ...row },
    cell(4),
  ]);
  assert.deepEqual(
    changes.map((change) => (change.type === 'column' ? change.value : change.type)),
    ['delete', 4],
  );
});
