/** The examples do what their first line says, through the chain. */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import logChanges from '../../examples/hooks/log-changes.ts';
import { CLIENT, changeSet, RESULT, testChain } from './support.ts';

it('log-changes prints who changed what', async (t) => {
  const print = t.mock.method(console, 'log', () => {});
  const chain = testChain([logChanges]);
  chain.afterApply(
    CLIENT,
    [changeSet('1', 'todo'), changeSet('2', 'list'), changeSet('3', 'todo')],
    { result: RESULT },
  );
  await chain.drain(1000);
  assert.deepEqual(print.mock.calls[0]?.arguments, [
    'ann changed todo (2), list (1) in db: 1 applied',
  ]);
  assert.deepEqual(chain.outcomes, ['onAfterApplyChanges 0 ok']);
});
