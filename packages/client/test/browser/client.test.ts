/** The client in a real browser, against a real server. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCoordinator } from '../../../../src/testing/index.ts';
import { useBrowser } from './harness/use-browser.ts';

const browser = useBrowser(new URL('pages/client.ts', import.meta.url));

test('what a page writes is read in another', async (t) => {
  const server = await startCoordinator(t);
  const profile = await browser.profile(t);
  const [ann, ben] = [await profile.open(), await profile.open()];
  for (const page of [ann, ben]) {
    await page.evaluate(async (url) => {
      window.client = window.parts.createSyncClient({ url, store: window.parts.memoryStore() });
      await window.client.ready;
    }, server.wsUrl);
  }
  const state = await ann.evaluate(
    () =>
      window.client.transact((tx) => {
        tx.table('tasks').set([1], { title: 'Buy milk' });
      }).settled,
  );
  assert.equal(state, 'acknowledged');
  await ben.waitForFunction(() => window.client.table('tasks').all().length === 1);
});
