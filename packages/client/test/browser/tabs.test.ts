/** Tabs of a real browser that share a replica. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startCoordinator } from '../../../../src/testing/index.ts';
import type { Profile, Tab } from './harness/tab.ts';
import { useBrowser } from './harness/use-browser.ts';

const browser = useBrowser(new URL('pages/tabs.ts', import.meta.url));

async function openTabs(profile: Profile, url: string, count: number): Promise<Tab[]> {
  const pages: Tab[] = [];
  for (let i = 0; i < count; i++) pages.push(await profile.open());
  await Promise.all(pages.map((page) => page.evaluate((url) => window.tab.start(url), url)));
  return pages;
}

const write = (page: Tab, key: number) =>
  page.evaluate((key) => window.tab.write(key, `task ${key}`), key);

const shows = (page: Tab, rows: number) =>
  page.waitForFunction((rows) => window.client.table('tasks').all().length === rows, rows);

const leads = (page: Tab) => page.waitForFunction(() => window.client.status.isLeader);

async function leaderAmong(pages: readonly Tab[]): Promise<Tab> {
  return Promise.race(
    pages.map(async (page) => {
      await leads(page);
      return page;
    }),
  );
}

test('two tabs are one site with one connection, and show what each of them writes', async (t) => {
  const server = await startCoordinator(t);
  const profile = await browser.profile(t);
  const pages = await openTabs(profile, server.wsUrl, 2);
  const sites = await Promise.all(pages.map((page) => page.evaluate(() => window.client.siteId)));
  assert.equal(sites[0], sites[1]);
  for (const [i, page] of pages.entries()) assert.equal(await write(page, i), 'acknowledged');
  for (const page of pages) await shows(page, 2);
  const led = await Promise.all(
    pages.map((page) => page.evaluate(() => window.client.status.isLeader)),
  );
  assert.deepEqual(led.toSorted(), [false, true]);
});

/** @param end what becomes of the tab that leads */
async function loseLeader(t: TestContext, end: (leader: Tab) => Promise<void>): Promise<void> {
  const server = await startCoordinator(t);
  const pages = await openTabs(await browser.profile(t), server.wsUrl, 3);
  const leader = await leaderAmong(pages);
  const [writer, reader] = pages.filter((page) => page !== leader);
  assert.ok(writer !== undefined && reader !== undefined);
  await end(leader);
  assert.equal(await write(writer, 1), 'acknowledged');
  for (const page of [writer, reader]) await shows(page, 1);
}

test('a leader that is closed is succeeded by another tab', (t) =>
  loseLeader(t, (leader) => leader.close()));

browser.test('a leader that crashes is succeeded by another tab', 'crash', (t) =>
  loseLeader(t, (leader) => leader.crash()),
);

test('a leader that stands still is succeeded, and follows when it goes on', async (t) => {
  const server = await startCoordinator(t);
  const pages = await openTabs(await browser.profile(t), server.wsUrl, 2);
  const leader = await leaderAmong(pages);
  const follower = pages.find((page) => page !== leader);
  assert.ok(follower !== undefined);
  // A page that is held in the midst of what it reads from the store keeps all others from it.
  assert.equal(await write(leader, 0), 'acknowledged');
  const goOn = await browser.stop(leader);
  await leads(follower);
  assert.equal(await write(follower, 1), 'acknowledged');
  goOn();
  await leader.waitForFunction(() => !window.client.status.isLeader);
  await shows(leader, 2);
  assert.equal(await write(leader, 2), 'acknowledged');
  await shows(follower, 3);
});

test('what was written in a tab without a network is sent after all tabs were closed', async (t) => {
  const server = await startCoordinator(t);
  const profile = await browser.profile(t);
  const pages = await openTabs(profile, server.wsUrl, 2);
  await Promise.all(pages.map((page) => page.evaluate(() => window.client.disconnect())));
  for (const [i, page] of pages.entries()) {
    await page.evaluate(
      (key) =>
        window.client.transact((tx) => {
          tx.table('tasks').set([key], { title: 'offline' });
        }).durable,
      i,
    );
  }
  for (const page of pages) await page.close();
  const [again] = await openTabs(profile, server.wsUrl, 1);
  assert.ok(again !== undefined);
  await shows(again, 2);
  await again.waitForFunction(() => window.client.status.pending === 0);
});

test('without Web Locks a store that is shared is refused', async (t) => {
  const server = await startCoordinator(t);
  const page = await browser.open(t);
  await page.evaluate(() => {
    Object.defineProperty(navigator, 'locks', { value: undefined });
  });
  const refused = page.evaluate((url) => window.tab.start(url), server.wsUrl);
  await assert.rejects(refused, /Web Locks/);
});
