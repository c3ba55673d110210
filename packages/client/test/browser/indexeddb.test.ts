/** The IndexedDB store in a real browser: its contract, and all that a browser does to a database. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { Tab } from './harness/tab.ts';
import { useBrowser } from './harness/use-browser.ts';

const browser = useBrowser(new URL('pages/stores.ts', import.meta.url));

/** @returns what became of a commit: `done`, or the code of its error */
function commit(page: Tab, key: string, text = 'x'): Promise<string> {
  return page.evaluate(
    ([key, text]) =>
      window.stores.codeOf(window.store.commit([{ type: 'put', key: `${key}`, value: text }])),
    [key, text],
  );
}

function load(page: Tab): Promise<Record<string, unknown>> {
  return page.evaluate(async () => Object.fromEntries(await window.store.load()));
}

/** @returns what became of the first load: `done`, or the code of its error */
function open(page: Tab, options: { openMs?: number; shared?: boolean } = {}): Promise<string> {
  return page.evaluate((options) => {
    window.store = new window.stores.IndexedDbStore('app', options);
    return window.stores.codeOf(window.store.load());
  }, options);
}

test('keeps the contract of stores', async (t) => {
  const page = await browser.open(t);
  const results = await page.evaluate(() => window.stores.runContract());
  assert.ok(Object.keys(results).length >= 11);
  assert.deepEqual(
    Object.entries(results).filter(([, result]) => result !== 'kept'),
    [],
  );
});

test('what was committed is there after a reload and in another tab', async (t) => {
  const profile = await browser.profile(t);
  const page = await profile.open();
  assert.equal(await open(page), 'done');
  assert.equal(await commit(page, 'a'), 'done');
  const other = await profile.open();
  await open(other);
  assert.deepEqual(await load(other), { a: 'x' });
  assert.equal(await commit(other, 'b'), 'done');
  await page.reload();
  await open(page);
  assert.deepEqual(await load(page), { a: 'x', b: 'x' });
});

browser.test(
  'a browser without room refuses the batch, and takes the next one that fits',
  'room',
  async (t) => {
    const profile = await browser.profile(t, { hasLittleRoom: true });
    const page = await profile.open();
    const incompressible = randomBytes(10_000_000).toString('base64');
    await open(page);
    assert.equal(await commit(page, 'a'), 'done');
    assert.equal(await commit(page, 'b', incompressible), 'STORE_FULL');
    assert.deepEqual(await load(page), { a: 'x' });
    // Firefox refuses the next one as well; whoever has a store tries again.
    await page.waitForFunction(async () => {
      const put = { type: 'put', key: 'b', value: 'x' } as const;
      return (await window.stores.codeOf(window.store.commit([put]))) === 'done';
    });
    assert.deepEqual(await load(page), { a: 'x', b: 'x' });
  },
);

test('a newer version that is opened elsewhere closes it, and it says so', async (t) => {
  const profile = await browser.profile(t);
  const [page, newer] = [await profile.open(), await profile.open()];
  await open(page);
  await commit(page, 'a');
  const told = page.evaluate(
    () =>
      new Promise<string>((resolve) => {
        window.store.onFault = ({ code }) => resolve(code);
      }),
  );
  await newer.evaluate(
    () =>
      new Promise<void>((resolve, reject) => {
        const request = indexedDB.open('app', 99);
        request.onsuccess = () => resolve();
        request.onerror = () => reject(request.error);
        request.onblocked = () => reject(new Error('the older version did not close'));
      }),
  );
  assert.equal(await told, 'STORE_VERSION');
  assert.equal(await commit(page, 'b'), 'STORE_VERSION');
  assert.equal(await open(page), 'STORE_VERSION');
});

test('a database that is deleted is not written to, nor made anew', async (t) => {
  const profile = await browser.profile(t);
  const [page, other] = [await profile.open(), await profile.open()];
  await open(page);
  await commit(page, 'a');
  await other.evaluate(
    () =>
      new Promise<void>((resolve) => {
        indexedDB.deleteDatabase('app').onsuccess = () => resolve();
      }),
  );
  await page.waitForFunction(async () => {
    const code = await window.stores.codeOf(window.store.load());
    return code === 'STORE_DAMAGED';
  });
  assert.equal(await commit(page, 'b'), 'STORE_DAMAGED');
  await open(other);
  assert.deepEqual(await load(other), {});
});

test('site data that is cleared is not mistaken for what was there', async (t) => {
  const profile = await browser.profile(t);
  const [page, other] = [await profile.open(), await profile.open()];
  await open(page);
  await commit(page, 'a');
  await other.evaluate(async () => {
    await fetch('/clear');
  });
  await page.waitForFunction(async () => {
    const code = await window.stores.codeOf(window.store.load());
    return code === 'STORE_DAMAGED';
  });
  assert.equal(await commit(page, 'b'), 'STORE_DAMAGED');
});

test('a database that another tab holds up is given up after a while, and tried again', async (t) => {
  const profile = await browser.profile(t);
  const [page, other] = [await profile.open(), await profile.open()];
  // Deleting waits for the connection that does not close, and opening waits for the deleting.
  await other.evaluate(
    () =>
      new Promise<void>((resolve) => {
        const request = indexedDB.open('app', 1);
        request.onsuccess = () => {
          const database = request.result;
          database.onversionchange = () => undefined;
          Object.assign(window, { release: () => database.close() });
          const deletion = indexedDB.deleteDatabase('app');
          deletion.onblocked = () => resolve();
        };
      }),
  );
  assert.equal(await open(page, { openMs: 200 }), 'STORE_UNAVAILABLE');
  await other.evaluate(() => Reflect.get(window, 'release')());
  await page.waitForFunction(
    async () => (await window.stores.codeOf(window.store.load())) === 'done',
  );
  assert.equal(await commit(page, 'a'), 'done');
});

test('a browser without IndexedDB, or one that forbids it, is told as an error', async (t) => {
  const page = await browser.open(t);
  await page.evaluate(() => {
    Object.defineProperty(window, 'indexedDB', { value: undefined, configurable: true });
  });
  assert.equal(await open(page), 'STORE_UNAVAILABLE');
  await page.evaluate(() => {
    const forbidden = {
      open: () => {
        throw new DOMException('the user has said no', 'SecurityError');
      },
    };
    Object.defineProperty(window, 'indexedDB', { value: forbidden });
  });
  assert.equal(await open(page), 'STORE_UNAVAILABLE');
});
