/** How a call ends that does not end by itself: time, signals, and the server's stop. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SyncError } from '../../src/errors/sync-error.ts';
import { HOOK_KINDS, HOOK_NAMES } from '../../src/hooks/kinds.ts';
import { CALLS, CLIENT, deferred, SHORT_MS, signalOf, testChain, untyped } from './support.ts';

/** Never answers; tells the signal that it was given. */
function hanging() {
  const signals: AbortSignal[] = [];
  const act = (...args: unknown[]) => {
    signals.push(signalOf(args));
    return new Promise<never>(() => {});
  };
  return { act, signals };
}

const asked = HOOK_NAMES.filter((hook) => HOOK_KINDS[hook] !== 'notify');
const told = HOOK_NAMES.filter((hook) => HOOK_KINDS[hook] === 'notify');

for (const hook of HOOK_NAMES) {
  it(`${hook}: a hook that hangs sees its signal aborted when its time is up`, async () => {
    const { act, signals } = hanging();
    const chain = testChain([untyped({ [hook]: act })], { timeoutMs: SHORT_MS });
    await CALLS[hook](chain).catch(() => {});
    assert.equal(signals.length, 1);
    assert.match(String(signals[0]?.reason), /no answer within 20 ms/);
  });
}

for (const hook of asked) {
  describe(hook, () => {
    it('is given up with the caller', async () => {
      const { act, signals } = hanging();
      const caller = new AbortController();
      const chain = testChain([untyped({ [hook]: act })], { timeoutMs: 60_000 });
      const call = CALLS[hook](chain, caller.signal);
      caller.abort(new Error('the client has gone'));
      await assert.rejects(call, { code: 'HOOK_FAILED', message: `${hook} was given up` });
      assert.equal(signals[0]?.reason, caller.signal.reason);
      assert.deepEqual(chain.outcomes, [`${hook} 0 aborted`]);
      assert.deepEqual(chain.errors, [], 'a client that leaves is no failure');
    });

    it('is given up with the server, which says why', async () => {
      const { act } = hanging();
      const server = new AbortController();
      const chain = testChain([untyped({ [hook]: act })], {
        timeoutMs: 60_000,
        signal: server.signal,
      });
      const call = CALLS[hook](chain);
      server.abort(new SyncError('SHUTTING_DOWN', 'the server is stopping'));
      await assert.rejects(call, { code: 'SHUTTING_DOWN' });
    });

    it('has nothing more to do with the caller once it has answered', async () => {
      const signals: AbortSignal[] = [];
      const act = async (...args: unknown[]) => {
        signals.push(signalOf(args));
        throw new Error('no');
      };
      const caller = new AbortController();
      const chain = testChain([untyped({ [hook]: act })]);
      await assert.rejects(CALLS[hook](chain, caller.signal));
      caller.abort();
      assert.equal(signals[0]?.aborted, false);
    });

    it('is not called for a caller who has gone already', async () => {
      const chain = testChain([untyped({ [hook]: () => assert.fail('called') })]);
      await assert.rejects(CALLS[hook](chain, AbortSignal.abort()), { code: 'HOOK_FAILED' });
    });
  });
}

for (const hook of told) {
  describe(hook, () => {
    it('runs to its end while the server stops', async () => {
      const server = new AbortController();
      const { promise, resolve } = deferred();
      const chain = testChain([untyped({ [hook]: () => promise })], {
        timeoutMs: 60_000,
        signal: server.signal,
      });
      const drained = CALLS[hook](chain);
      server.abort();
      resolve();
      await drained;
      assert.deepEqual(chain.outcomes, [`${hook} 0 ok`]);
    });
  });
}

describe('drain', () => {
  it('gives up what is left at the deadline, says so, and starts nothing after', async () => {
    const { act, signals } = hanging();
    const chain = testChain([untyped({ onClientDisconnect: act })], { timeoutMs: 60_000 });
    chain.takeOver([CLIENT, CLIENT]);
    chain.clientDisconnect(CLIENT);
    await chain.drain(10);
    assert.deepEqual(chain.outcomes, ['onClientDisconnect 0 aborted']);
    assert.match(chain.errors.join(), /not done 10 ms after the server began to stop/);

    chain.clientDisconnect(CLIENT);
    await chain.drain(10);
    assert.equal(signals.length, 1);
  });

  it('waits for what begins meanwhile, too', async () => {
    const { promise, resolve } = deferred();
    const chain = testChain(
      [
        {
          async onAfterApplyChanges() {
            await Promise.resolve();
            chain.clientDisconnect(CLIENT);
          },
          onClientDisconnect: () => promise,
        },
      ],
      { timeoutMs: 60_000 },
    );
    chain.takeOver([CLIENT]);
    const drained = CALLS.onAfterApplyChanges(chain);
    let isDrained = false;
    void drained.then(() => {
      isDrained = true;
    });
    await new Promise(setImmediate);
    assert.equal(isDrained, false);
    resolve();
    await drained;
    assert.deepEqual(chain.outcomes.at(-1), 'onClientDisconnect 0 ok');
  });

  it('is done at once without anything to wait for', () => testChain([]).drain(60_000));
});

it('many calls at once on one signal bring no warning', async (t) => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));

  const server = new AbortController();
  const chain = testChain([{ onAuthorize: () => Promise.resolve(true) }], {
    signal: server.signal,
  });
  const caller = new AbortController();
  await Promise.all(Array.from({ length: 100 }, () => CALLS.onAuthorize(chain, caller.signal)));
  await new Promise(setImmediate);
  assert.deepEqual(warnings, []);
});
