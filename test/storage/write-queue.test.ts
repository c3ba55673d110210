import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GroupCommit } from '../../src/engine/merge/group-commit.ts';
import { Clients } from '../../src/service/access/clients.ts';
import { readerOf } from '../../src/service/access/rights.ts';
import { BatchLine } from '../../src/service/apply/batch-line.ts';
import { createWriteQueue } from '../../src/storage/write-queue.ts';
import { isForgotten } from '../support/forgotten.ts';

// A database stays open, and a connection too, long after its last batch, which may be long.
test('what runs tasks one after the other keeps nothing of what the last one gave', async () => {
  const refs: Record<string, WeakRef<object>> = {};
  const give = (name: string) => async () => {
    const given = { name };
    refs[name] = new WeakRef(given);
    return given;
  };
  const queue = createWriteQueue();
  const commits = new GroupCommit(
    async () => [],
    () => 1,
    async () => undefined,
  );
  const siteId = new Uint8Array(16);
  const line = new BatchLine(readerOf({ siteId }), new Clients(Date.now));
  await queue.run(give('the queue of a store'));
  await commits.alone(give('the commits of a database'));
  await line.again(line.enter(), give('the line of a connection'));
  assert.equal(Object.keys(refs).length, 3);
  for (const [name, ref] of Object.entries(refs)) assert.ok(await isForgotten(ref), name);
  await queue.run(async () => undefined);
  await commits.close();
  await line.again(line.enter(), async () => undefined);
});
