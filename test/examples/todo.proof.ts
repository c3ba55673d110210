/** The demo as somebody tries it: two windows, offline, a conflict, a refused write, a killed server. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import {
  launchChromium,
  openContext,
} from '../../packages/client/test/browser/harness/chromium.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Where to write the README's picture: `TEST_SCREENSHOT=docs/todo.png npm test -- test/examples/todo.proof.ts` */
const { TEST_SCREENSHOT } = process.env;
const WINDOW = { width: 700, height: 550 };

interface Demo {
  url: string;
  kill(): Promise<void>;
}

const dataDir = mkdtempSync(join(tmpdir(), 'sync-todo-'));
let browser: Browser;
let demo: Demo;

/** @returns an expression for a page: whether its store has so many writes that wait */
function hasStored(database: string, writes: number): string {
  return `new Promise((resolve, reject) => {
    const opening = indexedDB.open('${database}');
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const { result } = opening;
      const [entries] = result.objectStoreNames;
      const waiting = IDBKeyRange.bound('out/', 'out0', false, true);
      const count = result.transaction(entries).objectStore(entries).count(waiting);
      count.onerror = () => reject(count.error);
      count.onsuccess = () => {
        result.close();
        resolve(count.result === ${writes});
      };
    };
  })`;
}

/** As `npm run demo` does. */
async function startDemo(port: string): Promise<Demo> {
  const child: ChildProcess = spawn(
    process.execPath,
    ['--import', 'tsx', 'examples/todo/server.ts'],
    {
      cwd: ROOT,
      env: { ...process.env, NODE_OPTIONS: '', SYNC_PORT: port, SYNC_DATA_DIR: dataDir },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  const url = await new Promise<string>((resolve, reject) => {
    const read = (data: Buffer) => {
      output += data;
      const [found] = /http:\/\/localhost:\d+\//.exec(output) ?? [];
      if (found !== undefined) resolve(found);
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('exit', (code) => reject(new Error(`it ended with ${code}: ${output}`)));
  });
  return {
    url,
    async kill() {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

before(async () => {
  [browser, demo] = await Promise.all([launchChromium(), startDemo('0')]);
});

after(async () => {
  await Promise.all([browser.close(), demo.kill()]);
  rmSync(dataDir, { recursive: true });
});

/** A browser's data; what a page throws fails the test. */
async function openProfile(t: TestContext): Promise<BrowserContext> {
  const { context, thrown } = await openContext(browser);
  t.after(async () => {
    await context.close();
    assert.deepEqual(thrown, [], 'no page threw');
  });
  return context;
}

async function openWindow(context: BrowserContext, user: string): Promise<Page> {
  const page = await context.newPage();
  await page.setViewportSize(WINDOW);
  await page.goto(`${demo.url}?user=${user}`);
  await page.getByText('In sync').waitFor();
  return page;
}

const titles = (page: Page) =>
  page
    .locator('.tasks .title')
    .evaluateAll((inputs) => inputs.map((each) => Reflect.get(each, 'value')));

async function add(page: Page, label: string, title: string): Promise<void> {
  await page.getByLabel(label).fill(title);
  await page.keyboard.press('Enter');
}

async function rename(page: Page, from: string, to: string): Promise<void> {
  await page.getByLabel(`Title: ${from}`).fill(to);
  await page.keyboard.press('Enter');
}

const task = (page: Page, title: string) => page.getByLabel(`Title: ${title}`, { exact: true });

async function takePicture(context: BrowserContext, windows: readonly Page[]): Promise<void> {
  if (TEST_SCREENSHOT === undefined) return;
  const pictures = await Promise.all(windows.map((page) => page.screenshot()));
  const page = await context.newPage();
  await page.setViewportSize({ width: 2 * WINDOW.width + 12, height: WINDOW.height });
  const images = pictures.map(
    (png) => `<img src="data:image/png;base64,${png.toString('base64')}">`,
  );
  await page.setContent(
    `<body style="margin:0;display:flex;gap:12px;background:#aab2bf">${images.join('')}`,
  );
  writeFileSync(join(ROOT, TEST_SCREENSHOT), await page.screenshot());
  await page.close();
}

test('two windows share their tasks, and neither loses what it wrote', async (t) => {
  const profile = await openProfile(t);
  const [anna, ben] = [await openWindow(profile, 'Anna'), await openWindow(profile, 'Ben')];

  await add(anna, 'New list', 'Groceries');
  await add(anna, 'New task', 'Buy milk');
  await add(anna, 'New task', 'Bake a cake');
  await task(ben, 'Bake a cake').waitFor();
  await add(ben, 'New task', 'Find the good plates');
  await task(anna, 'Find the good plates').waitFor();
  for (const page of [anna, ben]) {
    const here = page.getByRole('list', { name: 'Who is here' }).getByRole('listitem');
    await here.nth(1).waitFor();
  }

  // What somebody is typing is not replaced by what another one has written meanwhile.
  await task(ben, 'Bake a cake').fill('Bake two');
  await rename(anna, 'Bake a cake', 'Bake a pie');
  assert.equal(await task(ben, 'Bake a pie').inputValue(), 'Bake two');
  await ben.keyboard.press('Escape');
  assert.equal(await task(ben, 'Bake a pie').inputValue(), 'Bake a pie');
  await rename(ben, 'Bake a pie', 'Bake a cake');
  await task(anna, 'Bake a cake').waitFor();

  // The hook says no: it is shown, and what was there before is there again.
  await ben.getByRole('button', { name: 'Delete: Buy milk' }).click();
  await ben.getByText('This belongs to Anna, who alone may do that.').waitFor();
  await task(ben, 'Buy milk').waitFor();
  await ben.getByRole('button', { name: 'Let it be' }).click();
  await rename(ben, 'Buy milk', '  ');
  await ben.getByText('A title must not be empty.').waitFor();
  assert.deepEqual(await titles(ben), ['Buy milk', 'Bake a cake', 'Find the good plates']);
  await ben.getByRole('button', { name: 'Let it be' }).click();
  assert.equal(await ben.locator('.decisions article').count(), 0);

  // Anna writes offline, Ben later: his wins, and hers is not lost.
  await anna.getByText('In sync').waitFor();
  const offline = anna.getByRole('switch', { name: 'Work offline' });
  await offline.click();
  await rename(anna, 'Buy milk', 'Buy oat milk');
  await add(anna, 'New task', 'Send the invitations');
  await anna.getByText('Offline, 2 changes waiting').waitFor();
  // They are shown at once, and outlive the page once they are stored.
  await anna.waitForFunction(hasStored('todo-Anna', 2));
  await anna.reload();
  await anna.getByText('Offline, 2 changes waiting').waitFor();
  await task(anna, 'Buy oat milk').waitFor();
  await rename(ben, 'Buy milk', 'Buy soy milk');
  await ben.getByLabel('Done: Bake a cake').check();
  await offline.click();
  await anna.getByText('Somebody else was later').waitFor();
  await task(anna, 'Buy soy milk').waitFor();
  await task(ben, 'Send the invitations').waitFor();
  await anna.getByText('In sync').waitFor();
  await takePicture(profile, [anna, ben]);
  await anna.reload();
  await anna.getByRole('button', { name: 'Use mine' }).click();
  await task(ben, 'Buy oat milk').waitFor();
  assert.deepEqual(await titles(anna), await titles(ben));
  assert.equal(await anna.locator('.decisions article').count(), 0);
});

test('what is written while the server is down is there after it', async (t) => {
  const profile = await openProfile(t);
  const anna = await openWindow(profile, 'Anna');
  await add(anna, 'New list', 'Work');
  await add(anna, 'New task', 'Before');
  await anna.getByText('In sync').waitFor();
  await demo.kill();
  await anna.getByText('Connecting').waitFor();
  await add(anna, 'New task', 'Meanwhile');
  await anna.getByText(/Connecting, .* waiting/).waitFor();
  demo = await startDemo(new URL(demo.url).port);
  await anna.reload();
  await anna.getByText('In sync').waitFor();
  // Another device has it from the server.
  const other = await openWindow(await openProfile(t), 'Ben');
  await other.getByRole('button', { name: 'Work', exact: true }).click();
  await task(other, 'Meanwhile').waitFor();
  assert.deepEqual(await titles(other), ['Before', 'Meanwhile']);
});

test('it is used by the keyboard alone, in the dark as well', async (t) => {
  const profile = await openProfile(t);
  const anna = await openWindow(profile, 'Anna');
  await anna.emulateMedia({ colorScheme: 'dark' });
  await anna.getByLabel('New list').focus();
  await anna.keyboard.type('By keys');
  await anna.keyboard.press('Enter');
  await anna.getByRole('heading', { name: 'By keys' }).waitFor();
  await anna.getByLabel('New task').focus();
  await anna.keyboard.type('Press Tab');
  await anna.keyboard.press('Enter');
  await task(anna, 'Press Tab').waitFor();
  for (const key of ['Shift+Tab', 'Shift+Tab', 'Shift+Tab', 'Space'])
    await anna.keyboard.press(key);
  assert.equal(await anna.getByLabel('Done: Press Tab').isChecked(), true);
  await anna.getByRole('button', { name: 'Delete: Press Tab' }).focus();
  await anna.keyboard.press('Enter');
  await task(anna, 'Press Tab').waitFor({ state: 'detached' });
  assert.equal(
    await anna.getByLabel('New task').evaluate((input) => input.matches(':focus')),
    true,
  );
  // Each of them has a name for who does not see it.
  const nameless = await anna.locator('button, input, a').evaluateAll((elements) =>
    elements
      .filter((each) => {
        const labels: ArrayLike<unknown> = Reflect.get(each, 'labels') ?? [];
        return !each.ariaLabel && each.textContent?.trim() === '' && labels.length === 0;
      })
      .map((each) => each.outerHTML),
  );
  assert.deepEqual(nameless, []);
});
