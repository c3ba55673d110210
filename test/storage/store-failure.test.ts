/** A store that fails while many wait for it: how often it is tried, and what they are told. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SyncError } from '../../src/errors/sync-error.ts';
import type { KVStore } from '../../src/storage/kv-store.ts';
import { createMemoryStorage } from '../../src/storage/memory.ts';
import { Device } from '../../src/testing/device.ts';
import { openEngine } from '../support/engine.ts';

type Place = 'begin' | 'getMany' | 'iterate' | 'commit';

/** Its transactions fail at one place, when the test lets them: as after a time limit. */
class FailingStore {
  readonly store: KVStore;
  failing: { at: Place; error: unknown } | undefined;
  attempts = 0;
  #arrived = () => {};
  #fail = () => {};

  constructor(inner: KVStore) {
    this.store = { ...inner, exclusive: (work) => this.#exclusive(inner, work) };
  }

  #exclusive: <T>(inner: KVStore, work: Parameters<KVStore['exclusive']>[0]) => Promise<T> = async (
    inner,
    work,
  ) => {
    const { failing } = this;
    const failIf = async (place: Place) => {
      if (failing?.at === place) await this.#timeOut(failing.error);
    };
    if (failing !== undefined) this.attempts++;
    await failIf('begin');
    return inner.exclusive(async (transaction) => {
      const result = await work({
        ...transaction,
        async getMany(keys) {
          await failIf('getMany');
          return transaction.getMany(keys);
        },
        async *iterate(range) {
          await failIf('iterate');
          yield* transaction.iterate(range);
        },
      });
      await failIf('commit');
      return result as never;
    });
  };

  async #timeOut(error: unknown): Promise<never> {
    const failed = new Promise<void>((resolve) => {
      this.#fail = resolve;
    });
    this.#arrived();
    await failed;
    throw error;
  }

  /** Resolves when a transaction waits for its time limit. */
  attempted(): Promise<void> {
    return new Promise((resolve) => {
      this.#arrived = resolve;
    });
  }

  timeLimitReached(): void {
    this.#fail();
  }
}

const unavailable = new SyncError('STORE_UNAVAILABLE', 'try again', { retryAfterMs: 1000 });

async function openFailing() {
  const failing = new FailingStore(await createMemoryStorage().open('a'));
  const { manager } = await openEngine({ store: failing.store });
  const devices = Array.from({ length: 50 }, (_, i) => new Device(i + 1));
  const write = (device: Device) =>
    manager.apply([device.write({ pk: [device.siteId], set: { a: 1 } })]);
  return { failing, manager, devices, write };
}

const codeOfRejected = async (applying: Promise<unknown>): Promise<unknown> => {
  const [settled] = await Promise.allSettled([applying]);
  return settled.status === 'rejected' ? settled.reason.code : 'applied';
};

describe('a store that fails while 50 clients write', () => {
  const faults: [Place, unknown][] = [
    ['begin', unavailable],
    ['getMany', unavailable],
    ['commit', unavailable],
    ['begin', new Error('of a store that gives its errors no code')],
    ['getMany', new Error('of a store that gives its errors no code')],
    ['commit', new Error('of a store that gives its errors no code')],
  ];
  for (const [at, error] of faults) {
    test(`at ${at} (${error}): is tried once for all of them, and for whoever waits behind`, async () => {
      const { failing, manager, devices, write } = await openFailing();
      failing.failing = { at, error };
      const attempted = failing.attempted();
      const half = devices.slice(0, 25).map(write);
      await attempted;
      const later = devices.slice(25).map(write);
      const site = manager.sites.requireResync(devices[0]?.siteId ?? '');
      const codes = Promise.all([...half, ...later, site].map(codeOfRejected));
      failing.timeLimitReached();
      assert.deepEqual(new Set(await codes), new Set(['STORE_UNAVAILABLE']));
      assert.equal(failing.attempts, 1);
    });
  }

  test('is tried again for who comes afterwards', async () => {
    const { failing, devices, write } = await openFailing();
    failing.failing = { at: 'commit', error: unavailable };
    const attempted = failing.attempted();
    const failed = devices.map(write).map(codeOfRejected);
    await attempted;
    failing.failing = undefined;
    failing.timeLimitReached();
    await Promise.all(failed);
    const again = await Promise.all(devices.map(write));
    assert.ok(again.every(({ applied }) => applied === 1));
  });

  test('work between two groups that fails so is answered to those who wait as well', async () => {
    const { failing, manager, devices, write } = await openFailing();
    failing.failing = { at: 'commit', error: unavailable };
    const attempted = failing.attempted();
    const site = codeOfRejected(manager.sites.requireResync(devices[0]?.siteId ?? ''));
    await attempted;
    const codes = devices.map(write).map(codeOfRejected);
    failing.timeLimitReached();
    assert.equal(await site, 'STORE_UNAVAILABLE');
    assert.deepEqual(new Set(await Promise.all(codes)), new Set(['STORE_UNAVAILABLE']));
    assert.equal(failing.attempts, 1);
  });
});
