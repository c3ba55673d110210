import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { test } from 'node:test';
import { StaleReadError } from '../../../src/engine/merge/batch.ts';
import type { DatabaseAccess } from '../../../src/service/access/open-database.ts';
import { DatabaseTurns } from '../../../src/service/apply/database-turns.ts';
import { openEngine } from '../../support/engine.ts';

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

test('a validator that brings a batch by whose validators its own database is written to is told so', async () => {
  const turns = new DatabaseTurns();
  const [a, b] = [await access('a'), await access('b')];
  const faults: string[] = [];
  const note = (error: unknown) => faults.push(String(error));
  const done = await turns.run(a, ({ judge }) =>
    judge(() =>
      turns.run(b, (inner) =>
        inner.judge(async () => {
          try {
            turns.refuseWhileJudging('a');
          } catch (error) {
            note(error);
          }
          await turns.run(a, async () => 'never').catch(note);
          return 'done';
        }),
      ),
    ),
  );
  assert.equal(done, 'done');
  assert.match(faults[0] ?? '', /^Error: service\.write: a batch for a is being judged here/);
  assert.match(faults[1] ?? '', /^Error: a batch in a batch: a batch for a is being judged here/);
  assert.equal(faults.length, 2);
  assert.equal(await turns.run(a, async () => 'free again'), 'free again');
});

test('of validators that bring batches to each other’s databases one is told so, and none waits for ever', async () => {
  const turns = new DatabaseTurns();
  const all = [await access('a'), await access('b'), await access('c')];
  let judging = 0;
  const arrived = new EventEmitter();
  const bring = (own: DatabaseAccess, other: DatabaseAccess) =>
    turns.run(own, ({ judge }) =>
      judge(async () => {
        const together = once(arrived, 'all');
        if (++judging === all.length) arrived.emit('all');
        await together;
        return turns.run(other, async () => `${own.id} in ${other.id}`);
      }),
    );
  const ends = await Promise.allSettled(
    all.map((own, i) => bring(own, all[(i + 1) % all.length] ?? own)),
  );
  const said = ends.map((end) => (end.status === 'fulfilled' ? end.value : String(end.reason)));
  const why = 'a batch for a is being judged at the same time, which has to do with c';
  assert.deepEqual(said.slice(0, 2), ['a in b', 'b in c']);
  assert.ok(said[2]?.startsWith(`Error: a batch in a batch: ${why}`), said[2]);
});
