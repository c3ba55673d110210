import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LinkedList } from '../../../src/service/budgets/linked-list.ts';

test('whoever leaves, the others stay in the order in which they came', () => {
  const list = new LinkedList<number>();
  const leave = [0, 1, 2, 3, 4].map((number) => list.push(number));
  for (const number of [2, 0, 4]) assert.equal(leave[number]?.(), true);
  assert.deepEqual([list.toArray(), list.first, list.size], [[1, 3], 1, 2]);
  list.push(5);
  assert.deepEqual(list.toArray(), [1, 3, 5]);
});

test('who has left leaves only once', () => {
  const list = new LinkedList<string>();
  const leave = list.push('a');
  assert.equal(leave(), true);
  assert.equal(list.first, undefined);
  list.push('a');
  assert.equal(leave(), false);
  assert.deepEqual(list.toArray(), ['a']);
});
