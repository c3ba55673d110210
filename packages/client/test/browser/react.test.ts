/** The hooks in React's StrictMode, in a real browser: what is rendered, and how often. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeChanges } from '../../../../src/index.ts';
import { startCoordinator } from '../../../../src/testing/index.ts';
import type { Tab } from './harness/tab.ts';
import { useBrowser } from './harness/use-browser.ts';

const browser = useBrowser(new URL('pages/react.tsx', import.meta.url));

const ROWS = 1000;

/** The components that were rendered meanwhile. */
async function renderedBy(page: Tab, work: () => Promise<unknown>): Promise<string[]> {
  const before = await page.evaluate(() => ({ ...window.react.renders }));
  await work();
  const after = await page.evaluate(() => ({ ...window.react.renders }));
  return Object.keys(after).filter((name) => after[name] !== before[name]);
}

function writeRows(page: Tab, count: number): Promise<void> {
  return page.evaluate((rows) => {
    window.client.transact((tx) => {
      for (let id = 1; id <= rows; id++) tx.table('tasks').set([id], { title: `task ${id}` });
    });
  }, count);
}

/** Waits for an element with that text in it. */
const untilThere = (page: Tab, selector: string, text = '') =>
  page.waitForFunction(
    ([selector, text]) =>
      [...document.querySelectorAll(selector)].some(({ textContent }) =>
        textContent.includes(text),
      ),
    [selector, text] as const,
  );

const countOf = (page: Tab, selector: string) =>
  page.evaluate((selector) => document.querySelectorAll(selector).length, selector);

const textOf = (page: Tab, selector: string) =>
  page.evaluate((selector) => document.querySelector(selector)?.textContent, selector);

test("one row's change renders that row of a thousand", async (t) => {
  const server = await startCoordinator(t);
  const page = await browser.open(t);
  await page.evaluate((url) => window.react.connect(url), server.wsUrl);
  await writeRows(page, ROWS);
  await page.evaluate(() => window.react.show());
  await page.waitForFunction(
    () => document.querySelector('#status')?.textContent === 'live, 0 pending',
  );
  await untilThere(page, 'li[data-pending=false]');
  assert.equal(await countOf(page, 'li[data-pending=false]'), ROWS);

  const rendered = await renderedBy(page, async () => {
    const state = await page.evaluate(
      () =>
        window.client.transact((tx) => {
          tx.table('tasks').set([7], { title: 'changed' });
        }).settled,
    );
    assert.equal(state, 'acknowledged');
    await untilThere(page, '#task-7[data-pending=false]', 'changed');
  });
  assert.deepEqual(rendered.sort(), ['list', 'row 7', 'status']);
  // While nothing happens nothing is rendered: no snapshot is another one each time. (A tab in the
  // background draws no frames.)
  const idle = await renderedBy(page, () =>
    page.evaluate(() => new Promise((resolve) => setTimeout(() => resolve(0)))),
  );
  assert.deepEqual(idle, []);
});

test('a rejected write is shown, and what is done about it', async (t) => {
  const server = await startCoordinator(t, {
    hooks: {
      onBeforeApplyChanges: (_client, changes) =>
        judgeChanges(changes, (change) =>
          change.type === 'column' && change.value === 'bad'
            ? { reason: 'not that', code: 'BAD' }
            : true,
        ),
    },
  });
  const page = await browser.open(t);
  await page.evaluate((url) => window.react.connect(url), server.wsUrl);
  await writeRows(page, 2);
  await page.evaluate(() => window.react.show());
  await page.evaluate(() => {
    window.client.transact((tx) => {
      tx.table('tasks').set([2], { title: 'bad' });
    });
  });
  await untilThere(page, '#outcomes li', 'not that');
  assert.equal(await textOf(page, '#task-2'), 'task 2', 'it is as it was before');
  assert.equal(await countOf(page, '#task-2[data-outcomes="1"]'), 1);
  await page.evaluate(() => document.querySelector<HTMLElement>('#outcomes button')?.click());
  await untilThere(page, '#task-2[data-outcomes="0"]', 'mended');
  assert.equal(await countOf(page, '#outcomes li'), 0);
});

test('what a server rendered is taken over without a fault', async (t) => {
  const server = await startCoordinator(t);
  const page = await browser.open(t);
  await page.evaluate((url) => window.react.connect(url, false), server.wsUrl);
  await writeRows(page, 3);
  const html = await page.evaluate(() => window.react.takeOver());
  assert.match(html, /stopped.*0.* pending/);
  assert.doesNotMatch(html, /task/);
  await untilThere(page, '#task-3', 'task 3');
});
