import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joined, letGoOfEach, workOnEach } from '../../../src/engine/records/let-go.ts';
import { deferred } from '../../hooks/support.ts';
import { isForgotten } from '../../support/forgotten.ts';

interface Item {
  name: string;
}

/** Items of which the second waits. */
function source() {
  const refs: WeakRef<Item>[] = [];
  const gate = deferred();
  let isClosed = false;
  const give = (name: string): Item => {
    const item = { name };
    refs.push(new WeakRef(item));
    return item;
  };
  const items = async function* () {
    try {
      yield give('a');
      await gate.promise;
      yield give('b');
    } finally {
      isClosed = true;
    }
  };
  return { items: items(), refs, gate, isClosed: () => isClosed };
}

async function* copies(item: Item): AsyncGenerator<Item> {
  yield item;
  yield item;
}

test('nothing is alive of an item while the next one is waited for, on any level', async () => {
  const { items, refs, gate } = source();
  const parts = async function* (): AsyncGenerator<AsyncIterable<Item>> {
    yield letGoOfEach(items, copies);
  };
  const read = letGoOfEach(joined(parts()), copies);
  const names: string[] = [];
  const take = async () => {
    const { value } = await read.next();
    if (value !== undefined) names.push(value.name);
  };
  for (let i = 0; i < 4; i++) await take();
  const next = take();
  assert.ok(await isForgotten(refs[0]));
  gate.resolve();
  await next;
  for (let i = 0; i < 4; i++) await take();
  assert.deepEqual(names, [...'aaaabbbb']);
});

test('nothing is alive of an item that was worked on', async () => {
  const { items, refs, gate } = source();
  const names: string[] = [];
  const begun = deferred();
  const worked = workOnEach(items, async ({ name }) => {
    begun.resolve();
    return names.push(name) > 0;
  });
  await begun.promise;
  assert.ok(await isForgotten(refs[0]));
  gate.resolve();
  assert.equal(await worked, true);
  assert.deepEqual(names, ['a', 'b']);
});

test('who stops, or fails, closes what is read; a failure may be given last', async () => {
  const stopped = source();
  assert.equal(await workOnEach(stopped.items, async () => false), false);
  assert.ok(stopped.isClosed());

  const refusing = () => {
    throw new Error('no');
  };
  const failing = source();
  await assert.rejects(letGoOfEach(failing.items, refusing).next(), { message: 'no' });
  assert.ok(failing.isClosed());

  const told = source();
  const read = letGoOfEach(told.items, refusing, { failed: (error) => String(error) });
  assert.deepEqual(await read.next(), { done: false, value: 'Error: no' });
  assert.deepEqual(await read.next(), { done: true, value: undefined });
});

test('what is asked for while something is read comes after it, also the end', async () => {
  const { items, gate, isClosed } = source();
  const read = letGoOfEach(items, ({ name }) => [name]);
  await read.next();
  const [second, end] = [read.next(), read.return?.()];
  assert.equal(isClosed(), false);
  gate.resolve();
  assert.deepEqual(await second, { done: false, value: 'b' });
  await end;
  assert.ok(isClosed());
  assert.deepEqual(await read.next(), { done: true, value: undefined });
});
