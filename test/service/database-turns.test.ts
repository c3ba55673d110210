import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StaleReadError } from '../../src/engine/merge/stale-read.ts';
import { DatabaseTurns } from '../../src/service/database-turns.ts';
import type { DatabaseAccess } from '../../src/service/open-database.ts';
import { openEngine } from '../support/engine.ts';

async function access(id: string): Promise<DatabaseAccess> {
  const { manager } = await openEngine();
  return { id, open: async () => ({ id, manager }) };
}

test('one has its turn after the other in a database, also after one that failed; databases don’t wait for each other', async () => {
  const turns = new DatabaseTurns();
  const [a, b] = [await access('a'), await access('b')];
  const log: string[] = [];
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const first = turns.run(a, async () => {
    log.push('first begins');
    await held;
    log.push('first ends');
    throw new Error('no');
  });
  const second = turns.run(a, async () => log.push('second'));
  await turns.run(b, async () => log.push('other'));
  assert.ok(!log.includes('second'), 'it waits, while another database was served');
  release();
  await assert.rejects(first, { message: 'no' });
  await second;
  assert.deepEqual(
    log.filter((line) => line !== 'other'),
    ['first begins', 'first ends', 'second'],
  );
});

test('where others have written meanwhile it is tried again, and given up when they always have', async () => {
  const turns = new DatabaseTurns();
  const database = await access('a');
  let tries = 0;
  const done = await turns.run(database, async () => {
    if (++tries < 3) throw new StaleReadError();
    return 'done';
  });
  assert.deepEqual([done, tries], ['done', 3]);
  const always = turns.run(database, async () => {
    throw new StaleReadError();
  });
  await assert.rejects(always, { code: 'OVERLOADED', retryAfterMs: 1000 });
});
