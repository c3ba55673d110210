import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LinkedList } from '../../../src/service/budgets/linked-list.ts';

test('whoever leaves, the others stay in the order in which they came', () => {
  const list = new LinkedList<number>();
  const entries = [0, 1, 2, 3, 4].map((number) => list.push(number));
  for (const entry of entries) if (entry.value % 2 === 0) assert.equal(list.remove(entry), true);
  assert.deepEqual(list.toArray(), [1, 3]);
  list.push(5);
  assert.deepEqual(list.toArray(), [1, 3, 5]);
});

test('who has left leaves only once', () => {
  const list = new LinkedList<string>();
  const entry = list.push('a');
  assert.equal(list.remove(entry), true);
  assert.deepEqual(list.toArray(), []);
  list.push('a');
  assert.equal(list.remove(entry), false);
  assert.deepEqual(list.toArray(), ['a']);
});
