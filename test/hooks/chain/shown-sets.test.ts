import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ShownSets } from '../../../src/hooks/chain/shown-sets.ts';
import type { CoordinatorHooks } from '../../../src/hooks/types.ts';
import type { ChangeSet } from '../../../src/protocol/types.ts';
import { decodeChangeSet, encodeChangeSet } from '../../../src/protocol/types.ts';
import { Device } from '../../../src/testing/device.ts';
import { CLIENT, RESULT, testChain } from '../support.ts';

const wire = new Device(1).write({ pk: [1], set: { a: [2, 1] } });

/** Keeps what it sees. */
class Keeper implements CoordinatorHooks {
  readonly before: ChangeSet[] = [];
  readonly after: ChangeSet[] = [];

  onBeforeApplyChanges(_client: unknown, changes: ChangeSet[]) {
    this.before.push(...changes);
    return { approved: changes, rejected: [] };
  }

  onAfterApplyChanges(_client: unknown, changes: ChangeSet[]) {
    this.after.push(...changes);
  }
}

/** @param between runs while the batch is being stored */
async function apply(modules: CoordinatorHooks[], between = () => {}): Promise<void> {
  const chain = testChain(modules);
  const shown = new ShownSets();
  const { approved } = await chain.beforeApply(CLIENT, [wire], { shown });
  between();
  chain.afterApply(CLIENT, approved, { result: RESULT, shown });
  await chain.settled();
}

test('each module has a change set of its own, the same one before and after', async () => {
  const [one, other] = [new Keeper(), new Keeper()];
  await apply([one, other]);
  assert.equal(one.before[0], one.after[0]);
  assert.equal(other.before[0], other.after[0]);
  assert.notEqual(one.before[0], other.before[0]);
});

test('a module listed twice has one for each of its places', async () => {
  const twice = new Keeper();
  await apply([twice, twice]);
  assert.equal(new Set(twice.before).size, 2);
  assert.deepEqual(new Set(twice.after), new Set(twice.before));
});

test('what a module changes later shows neither in what it is told was stored nor to another', async () => {
  const [one, other] = [new Keeper(), new Keeper()];
  await apply([one, other], () => {
    const [change] = one.before[0]?.changes ?? [];
    assert.ok(change?.type === 'column');
    change.value = 'spoilt';
  });
  for (const { after } of [one, other]) assert.deepEqual(after, [decodeChangeSet(wire)]);
});

test('a module that has looked is told with a change set that it has not had', async () => {
  class Looking extends Keeper {
    override onBeforeApplyChanges(client: unknown, changes: ChangeSet[]) {
      assert.equal(changes[0]?.changes.length, 1);
      return super.onBeforeApplyChanges(client, changes);
    }
  }
  const looking = new Looking();
  await apply([looking]);
  assert.notEqual(looking.before[0], looking.after[0]);
  assert.deepEqual(looking.after.map(encodeChangeSet), [wire]);
});
