/**
 * One browser for all tests of a file. Each test has profiles of its own (IndexedDB, locks, channels,
 * the network), and what a page throws fails the test.
 */

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { TestOwner } from '../../../../../src/testing/index.ts';
import { launchChromium } from './chromium.ts';
import { type PageServer, servePage } from './page-server.ts';

export interface BrowserProfile {
  readonly context: BrowserContext;
  /** Opens the page in a tab. Resolves when its script has run. */
  open(): Promise<Page>;
  /** Cuts the network off: new connections fail, and those that are open stall without a word. */
  setOffline(isOffline: boolean): Promise<void>;
}

export interface TestBrowser {
  /** What the page is served at. */
  readonly url: string;
  profile(owner: TestOwner): Promise<BrowserProfile>;
}

/** What the test runner's compiler wraps functions in, also those that are sent to a page. */
const COMPILER_HELPER = 'globalThis.__name = (value) => value;';

/**
 * For the top of a file of tests.
 * @param entry the script of the page, a URL of a file
 */
export function useBrowser(entry: URL): TestBrowser {
  let browser: Browser | undefined;
  let server: PageServer | undefined;
  before(async () => {
    [browser, server] = await Promise.all([launchChromium(), servePage(fileURLToPath(entry))]);
  });
  after(async () => {
    await Promise.all([browser?.close(), server?.close()]);
  });
  const url = () => {
    assert.ok(server !== undefined, 'the browser is started before the first test');
    return server.url;
  };
  return {
    get url() {
      return url();
    },
    async profile(owner) {
      assert.ok(browser !== undefined, 'the browser is started before the first test');
      return openProfile(owner, browser, url());
    },
  };
}

export async function openProfile(
  owner: TestOwner,
  browser: Browser,
  url: string,
): Promise<BrowserProfile> {
  const context = await browser.newContext();
  const thrown: Error[] = [];
  context.on('weberror', (error) => thrown.push(error.error()));
  await context.addInitScript(COMPILER_HELPER);
  owner.after(async () => {
    await context.close();
    assert.deepEqual(thrown, [], 'no page threw');
  });
  return {
    context,
    async open() {
      const page = await context.newPage();
      await page.goto(url, { waitUntil: 'load' });
      return page;
    },
    setOffline: (isOffline) => context.setOffline(isOffline),
  };
}
