/** Tabs of a real browser that share a replica. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { startCoordinator } from '../../../../src/testing/index.ts';
import { type BrowserProfile, useBrowser } from './harness/use-browser.ts';

const browser = useBrowser(new URL('pages/tabs.ts', import.meta.url));

async function openTabs(profile: BrowserProfile, url: string, count: number): Promise<Page[]> {
  const pages: Page[] = [];
  for (let i = 0; i < count; i++) pages.push(await profile.open());
  await Promise.all(pages.map((page) => page.evaluate((url) => window.tab.start(url), url)));
  return pages;
}

const write = (page: Page, key: number) =>
  page.evaluate((key) => window.tab.write(key, `task ${key}`), key);

const shows = (page: Page, rows: number) =>
  page.waitForFunction((rows) => window.client.table('tasks').all().length === rows, rows);

const leads = (page: Page) => page.waitForFunction(() => window.client.status.isLeader);

async function leaderAmong(pages: readonly Page[]): Promise<Page> {
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

test('a leader that is closed or crashes is succeeded by the other tab', async (t) => {
  const server = await startCoordinator(t);
  const profile = await browser.profile(t);
  const pages = await openTabs(profile, server.wsUrl, 3);
  for (const end of ['close', 'crash'] as const) {
    const leader = await leaderAmong(pages);
    pages.splice(pages.indexOf(leader), 1);
    const [follower] = pages;
    assert.ok(follower !== undefined);
    if (end === 'close') {
      await leader.close();
    } else {
      const devtools = await profile.context.newCDPSession(leader);
      devtools.send('Page.crash').catch(() => undefined);
      await leader.waitForEvent('crash');
    }
    assert.equal(await write(follower, pages.length), 'acknowledged');
    for (const page of pages) await shows(page, 3 - pages.length);
  }
});

test('a leader that stands still is succeeded, and follows when it goes on', async (t) => {
  const server = await startCoordinator(t);
  const profile = await browser.profile(t);
  const pages = await openTabs(profile, server.wsUrl, 2);
  const leader = await leaderAmong(pages);
  const follower = pages.find((page) => page !== leader);
  assert.ok(follower !== undefined);
  const devtools = await profile.context.newCDPSession(leader);
  await devtools.send('Debugger.enable');
  await devtools.send('Debugger.pause');
  // It stops at what it does next.
  leader.evaluate(() => undefined).catch(() => undefined);
  await leads(follower);
  assert.equal(await write(follower, 1), 'acknowledged');
  await devtools.send('Debugger.disable');
  await leader.waitForFunction(() => !window.client.status.isLeader);
  await shows(leader, 1);
  assert.equal(await write(leader, 2), 'acknowledged');
  await shows(follower, 2);
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
  const page = await (await browser.profile(t)).open();
  await page.evaluate(() => {
    Object.defineProperty(navigator, 'locks', { value: undefined });
  });
  const refused = page.evaluate((url) => window.tab.start(url), server.wsUrl);
  await assert.rejects(refused, /Web Locks/);
});
