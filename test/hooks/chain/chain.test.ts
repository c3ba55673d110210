/** Several modules as one: order, what stops the chain, what each of them sees. */

import assert from 'node:assert/strict';
import { createHook } from 'node:async_hooks';
import { describe, it, test } from 'node:test';
import { encodeHlc } from '../../../src/clock/hlc.ts';
import { SyncError } from '../../../src/errors/sync-error.ts';
import { HOOK_NAMES } from '../../../src/hooks/kinds.ts';
import type { AuthContext, CoordinatorHooks } from '../../../src/hooks/types.ts';
import { type ApplyResult, type ChangeSet, encodeChangeSet } from '../../../src/protocol/types.ts';
import { Device } from '../../../src/testing/device.ts';
import {
  afterApply,
  beforeApply,
  CALLS,
  CLIENT,
  changeSet,
  REQUEST,
  RESULT,
  SITE,
  testChain,
} from '../support.ts';

describe('onAuthenticate', () => {
  it('takes the first identity and asks no further', async () => {
    const chain = testChain({
      whitelist: { onAuthenticate: () => undefined },
      jwt: { onAuthenticate: async () => ({ siteId: SITE, userId: 'ann' }) },
      other: { onAuthenticate: () => assert.fail('not asked') },
    });
    assert.deepEqual(await chain.authenticate(REQUEST), { siteId: SITE, userId: 'ann' });
    assert.deepEqual(chain.outcomes, ['onAuthenticate whitelist ok', 'onAuthenticate jwt ok']);
  });

  it('answers undefined if every module passes, or none is there', async () => {
    const passing = testChain([{ onAuthenticate: () => undefined }, {}]);
    assert.equal(await passing.authenticate(REQUEST), undefined);
    assert.equal(await testChain([]).authenticate(REQUEST), undefined);
  });

  it('stops at a throw, also where a later module would accept', async () => {
    const chain = testChain([
      { onAuthenticate: () => Promise.reject(new Error('revoked')) },
      { onAuthenticate: () => ({ siteId: SITE }) },
    ]);
    await assert.rejects(chain.authenticate(REQUEST), { code: 'AUTH_FAILED' });
  });

  it('sees the request and a signal, and can spoil neither for the next', async () => {
    let seen: AuthContext | undefined;
    const chain = testChain([
      {
        onAuthenticate(context) {
          context.token = 'another';
          return undefined;
        },
      },
      {
        onAuthenticate(context) {
          seen = context;
          return undefined;
        },
      },
    ]);
    await chain.authenticate(REQUEST);
    assert.equal(seen?.token, 'open-sesame');
    assert.equal(seen?.signal.aborted, false);
  });

  it('never lets the token into the log, nor into what it throws', async () => {
    const chain = testChain({
      jwt: {
        onAuthenticate({ token }) {
          const cause = new Error(`request with Bearer ${token}`);
          throw Object.assign(new Error(`malformed: ${token}`, { cause }), { token });
        },
      },
    });
    const error = await chain.authenticate(REQUEST).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof SyncError);
    assert.equal(error.message, 'authentication failed');
    assert.equal(error.cause, undefined);
    const log = chain.logs.join('\n');
    assert.deepEqual(chain.errors, []);
    assert.match(log, /jwt: onAuthenticate refused: Error: malformed: \[token\]/);
    assert.doesNotMatch(log, /open-sesame/);
  });
});

for (const hook of ['onAuthorize', 'onClientConnect'] as const) {
  describe(hook, () => {
    it('needs the yes of every module, and stops at the first no', async () => {
      const chain = testChain({
        rbac: { [hook]: async () => true },
        limiter: { [hook]: () => false },
        other: { [hook]: () => assert.fail('not asked') },
      });
      await assert.rejects(CALLS[hook](chain), { code: 'NOT_AUTHORIZED', message: 'not allowed' });
      assert.deepEqual(chain.outcomes, [`${hook} rbac ok`, `${hook} limiter refused`]);
    });

    it('is a yes without a module', async () => {
      await CALLS[hook](testChain([]));
    });
  });
}

describe('onBeforeApplyChanges', () => {
  function rejecting(table: string): CoordinatorHooks {
    return {
      onBeforeApplyChanges(_client, changes) {
        const isOurs = ({ changes: [change] }: ChangeSet) => change?.table === table;
        const rejected = changes.filter(isOurs).map(() => ({ reason: 'no', table }));
        return { approved: changes.filter((set) => !isOurs(set)), rejected };
      },
    };
  }

  it('gives each module what the one before approved, and adds up what they reject', async () => {
    const seen: string[] = [];
    const watching: CoordinatorHooks = {
      async onBeforeApplyChanges(_client, changes) {
        seen.push(...changes.map(({ transactionId }) => transactionId));
        return { approved: changes, rejected: [] };
      },
    };
    const chain = testChain([rejecting('a'), watching, rejecting('b')]);
    const changes = [changeSet('1', 'a'), changeSet('2', 'b'), changeSet('3', 'c')];
    const { approved, rejected } = await beforeApply(chain, CLIENT, changes);
    assert.deepEqual(seen, ['2', '3']);
    assert.deepEqual(approved, [changes[2]]);
    assert.deepEqual(rejected, [
      { reason: 'no', table: 'a' },
      { reason: 'no', table: 'b' },
    ]);
  });

  it('lets a module rewrite a change set', async () => {
    const chain = testChain([
      {
        onBeforeApplyChanges: (_client, changes) => ({
          approved: changes.map((set) => ({ ...set, transactionId: `${set.transactionId}!` })),
          rejected: [],
        }),
      },
    ]);
    const { approved } = await beforeApply(chain, CLIENT, [changeSet('1')]);
    assert.deepEqual(approved, [changeSet('1!')]);
  });

  it('does not ask when nothing is left, and approves all without a module', async () => {
    const chain = testChain([
      rejecting('todo'),
      { onBeforeApplyChanges: () => assert.fail('not asked') },
    ]);
    const { approved, rejected } = await beforeApply(chain, CLIENT, [changeSet('1')]);
    assert.deepEqual([approved.length, rejected.length], [0, 1]);

    const all = await beforeApply(testChain([]), CLIENT, [changeSet('1')]);
    assert.deepEqual([all.approved, all.rejected], [[changeSet('1')], []]);
  });

  it('keeps its arrays from a module that keeps them too', async () => {
    const kept: ChangeSet[][] = [];
    const chain = testChain([
      {
        onBeforeApplyChanges(_client, changes) {
          kept.push(changes);
          return { approved: changes, rejected: [] };
        },
      },
    ]);
    const changes = [changeSet('1')];
    const { approved } = await beforeApply(chain, CLIENT, changes);
    for (const array of kept) array.length = 0;
    assert.deepEqual([changes.length, approved.length], [1, 1]);
  });

  it('says where in a verdict the fault is, in the log', async () => {
    const fault = { ...changeSet('2'), siteId: new Uint8Array(3) };
    const chain = testChain({
      rules: {
        onBeforeApplyChanges: (_client, changes) => ({
          approved: [...changes, fault],
          rejected: [],
        }),
      },
    });
    const call = beforeApply(chain, CLIENT, [changeSet('1')]);
    await assert.rejects(call, { message: 'onBeforeApplyChanges failed' });
    assert.deepEqual(chain.errors, [
      'rules: onBeforeApplyChanges invalid: approved[1].siteId is a Uint8Array of 16 bytes',
    ]);
  });
});

describe('onAfterApplyChanges', () => {
  it('tells every module, also after one that fails, each with its own result', async () => {
    const told: ApplyResult[] = [];
    const chain = testChain([
      {
        onAfterApplyChanges(_client, changes, result) {
          result.applied = 99;
          changes.length = 0;
          throw new Error('boom');
        },
      },
      {
        onAfterApplyChanges(client, changes, result) {
          assert.deepEqual([client, changes], [CLIENT, [changeSet('1')]]);
          told.push(result);
        },
      },
    ]);
    const changes = [changeSet('1')];
    assert.equal(afterApply(chain, CLIENT, changes, { result: RESULT }), undefined);
    await chain.drain(1000);
    assert.deepEqual(told, [RESULT]);
    assert.equal(RESULT.applied, 1);
    assert.equal(changes.length, 1);
    assert.deepEqual(
      chain.outcomes,
      ['onAfterApplyChanges 1 ok', 'onAfterApplyChanges 0 error'].sort(),
    );
  });
});

it('tells each module what was stored, whatever the one before has made of it in place', async () => {
  const wire = new Device(1).write({ pk: [{ list: [2, 1] }], set: { a: [2, 1] } });
  const spoiling: CoordinatorHooks = {
    onAfterApplyChanges(_client, [set], result) {
      const [change] = set?.changes ?? [];
      assert.ok(set !== undefined && change?.type === 'column' && Array.isArray(change.value));
      change.value.sort();
      change.pk.length = 0;
      set.siteId.fill(0);
      result.rejected?.[0]?.pk?.pop();
    },
  };
  const told: unknown[] = [];
  const last: CoordinatorHooks = {
    onAfterApplyChanges(_client, changes, { rejected }) {
      told.push(...changes.map(encodeChangeSet), rejected);
    },
  };
  const chain = testChain([spoiling, last]);
  const result = { ...RESULT, rejected: [{ reason: 'no', pk: [1] }] };
  chain.afterApply(CLIENT, [wire], { result });
  await chain.drain(1000);
  assert.deepEqual(told, [wire, result.rejected]);
  assert.deepEqual(result.rejected, [{ reason: 'no', pk: [1] }]);
});

it('tells each module its own position, whatever the one before has made of it in place', async () => {
  const told: unknown[] = [];
  const spoiling: CoordinatorHooks = {
    onAfterApplyChanges(_client, _changes, _result, { position }) {
      assert.ok(position !== undefined);
      told.push(encodeHlc(position));
      position.siteId.fill(0);
      position.counter++;
    },
  };
  const chain = testChain([spoiling, spoiling]);
  const { hlc } = new Device(1).write({ pk: [1], set: { a: 1 } });
  chain.afterApply(CLIENT, [], { result: RESULT, position: hlc });
  await chain.drain(1000);
  assert.deepEqual(told, [hlc, hlc]);
});

describe('the chain', () => {
  for (const hook of HOOK_NAMES) {
    it(`knows whether there is any ${hook}, and calls no other for it`, async () => {
      const chain = testChain({ mine: { [hook]: () => undefined } });
      for (const name of HOOK_NAMES) assert.equal(chain.has[name], name === hook);
      // Who has gone was there: that is told first.
      const told = hook === 'onClientHandover' ? 'onClientDisconnect' : hook;
      const others = HOOK_NAMES.filter((name) => name !== hook && name !== told);
      for (const other of others) await CALLS[other](chain);
      assert.deepEqual(chain.outcomes, []);
    });
  }

  it('calls the hooks of a class instance as its methods', async () => {
    class Allow {
      #answer = true;
      onAuthorize() {
        return this.#answer;
      }
    }
    await CALLS.onAuthorize(testChain([new Allow()]));
  });

  it('measures what it calls', async () => {
    const chain = testChain([{ onAuthorize: () => true }]);
    await CALLS.onAuthorize(chain);
    assert.ok(chain.seconds.every((seconds) => seconds >= 0 && seconds < 1));
  });
});

test('hooks that answer at once cost no promise, however many they are', async (t) => {
  let promises = 0;
  const counting = createHook({
    init(_id, type) {
      if (type === 'PROMISE') promises++;
    },
  }).enable();
  t.after(() => counting.disable());
  const passing: CoordinatorHooks = {
    onAuthorize: () => true,
    onBeforeApplyChanges: (_client, changes) => ({ approved: changes, rejected: [] }),
    onAfterApplyChanges: () => undefined,
    onBeforeSendChanges: (_client, changes) => changes,
  };
  const sent = [changeSet('1')];
  const wire = sent.map(encodeChangeSet);
  const madeBy = (modules: number): number => {
    const chain = testChain(Array.from({ length: modules }, () => passing));
    const before = promises;
    void CALLS.onAuthorize(chain);
    void beforeApply(chain, CLIENT, sent);
    afterApply(chain, CLIENT, sent, { result: RESULT });
    void chain.beforeSend(CLIENT, wire);
    return promises - before;
  };
  assert.equal(madeBy(5), madeBy(0));
});
