import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Budget, holderOf } from '../../../src/service/budgets/budget.ts';

test('a user is counted wherever it comes from, and an address where there is no user', () => {
  const siteId = new Uint8Array(16);
  const user = { siteId, userId: 'u' };
  assert.equal(holderOf(user, '192.0.2.1'), holderOf(user, '192.0.2.2'));
  assert.notEqual(holderOf({ siteId }, '192.0.2.1'), holderOf({ siteId }, '192.0.2.2'));
  assert.equal(holderOf({ siteId }, '192.0.2.1:80'), holderOf({ siteId }, '::ffff:192.0.2.1'));
  assert.notEqual(
    holderOf({ siteId, userId: '192.0.2.1' }, 'x'),
    holderOf({ siteId }, '192.0.2.1'),
  );
});

test('one takes its share at most, at least one, and may take again what it gave back', () => {
  const budget = new Budget({ limit: 'limits.sessions', max: 4, sharePerUser: 50 });
  budget.take('a');
  budget.take('a');
  assert.throws(() => budget.take('a'), {
    code: 'OVERLOADED',
    limit: 'limits.sharePerUser',
    message: /share of limits\.sessions: limits\.sharePerUser \(50 %\) of 4/,
  });
  budget.take('b');
  for (let i = 0; i < 10; i++) budget.take(undefined);
  for (const holder of ['a', undefined]) budget.give(holder);
  budget.take('a');
  assert.throws(() => budget.take('a'));
  const whole = new Budget({ limit: 'limits.sessions', max: 1, sharePerUser: 75 });
  for (let i = 0; i < 3; i++) whole.take('a');
});

test('who has most gives way to who has less by two at least, so that nobody takes it back', () => {
  const budget = new Budget({ limit: 'limits.sessions', max: 4, sharePerUser: 75 });
  for (let i = 0; i < 3; i++) budget.take('eve');
  budget.take('ben');
  assert.equal(budget.giverTo('ann'), 'eve');
  assert.equal(budget.giverTo('ben'), 'eve');
  assert.equal(budget.giverTo('eve'), undefined);
  assert.equal(budget.giverTo(undefined), undefined);
  budget.give('eve');
  budget.take('ann');
  assert.equal(budget.giverTo('ben'), undefined);
  assert.equal(budget.giverTo('eve'), undefined);
  assert.equal(budget.giverTo('carl'), 'eve');
});
