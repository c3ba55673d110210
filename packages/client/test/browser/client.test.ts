/** The client in a real browser, against a real server: what an app's user may do to it. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { judgeChanges } from '../../../../src/index.ts';
import { startCoordinator } from '../../../../src/testing/index.ts';
import { startChildServer } from '../../../../test/support/child-server.ts';
import { startClient } from '../support/client.ts';
import { RoughProxy } from '../support/rough-proxy.ts';
import type { Tab } from './harness/tab.ts';
import { useBrowser } from './harness/use-browser.ts';

const browser = useBrowser(new URL('pages/client.ts', import.meta.url));

const start = (page: Tab, options: Parameters<Window['parts']['start']>[0]) =>
  page.evaluate((options) => window.parts.start(options), options);

/** @returns once it is on the device */
const write = (page: Tab, id: number, title: string) =>
  page.evaluate(([id, title]) => window.parts.write(id, title).durable, [id, title] as const);

/** The page's clock, which it has once it is installed. */
const advance = (page: Tab, ms: number) =>
  page.evaluate((ms) => window.parts.clock.advance(ms), ms);

const titles = (page: Tab) => page.evaluate(() => window.parts.titles());

async function synced(page: Tab): Promise<void> {
  await page.waitForFunction(() => window.parts.isSynced());
}

test('offline edits survive a reload and a killed server', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'sync-browser-'));
  const server = await startChildServer(t, { dataDir });
  t.after(() => rmSync(dataDir, { recursive: true, maxRetries: 5 }));
  const { wsUrl: url } = server;
  const page = await browser.open(t);
  await start(page, { url });
  await write(page, 1, 'online');
  await synced(page);
  await server.kill('SIGKILL');
  await page.waitForFunction(() => window.client.status.connection !== 'live');
  await write(page, 2, 'while the server is down');
  await page.reload();
  await start(page, { url });
  assert.deepEqual(await titles(page), ['online', 'while the server is down']);
  assert.equal(await page.evaluate(() => window.client.status.pending), 1);
  await startChildServer(t, { dataDir, args: ['--port', `${server.port}`] });
  await synced(page);
  const other = await browser.open(t);
  await start(other, { url });
  await synced(other);
  assert.deepEqual(await titles(other), ['online', 'while the server is down']);
});

test('a network that swallows everything is found out by a ping', async (t) => {
  const server = await startCoordinator(t);
  const network = await RoughProxy.start(t, Number(new URL(server.wsUrl).port), 0);
  network.isRough = false;
  const page = await browser.open(t);
  await page.evaluate(() => window.parts.clock.install());
  await start(page, { url: `ws://127.0.0.1:${network.port}/sync/ws` });
  await synced(page);
  network.isSilent = true;
  await write(page, 1, 'into the void');
  assert.equal(await page.evaluate(() => window.client.status.connection), 'live');
  await advance(page, 26_000);
  await advance(page, 11_000);
  await page.waitForFunction(() => window.client.status.connection !== 'live');
  assert.equal(await page.evaluate(() => window.client.status.pending), 1);
  network.isSilent = false;
  network.cutAll();
  await advance(page, 60_000);
  await synced(page);
});

test('a browser and a server that compresses understand each other', async (t) => {
  const agreed: string[] = [];
  const server = await startCoordinator(t, {
    config: { compression: { websocket: true } },
    hooks: {
      onClientConnect(_client, socket) {
        agreed.push(socket.extensions);
        return true;
      },
    },
  });
  const written = [];
  const page = await browser.open(t);
  await start(page, { url: server.wsUrl });
  for (let i = 0; i < 5; i++) {
    written.push(`${i} `.repeat(100_000));
    await write(page, i, written[i] ?? '');
  }
  await synced(page);
  const other = await browser.open(t);
  await start(other, { url: server.wsUrl });
  await synced(other);
  assert.deepEqual(await titles(other), written);
  assert.ok(
    agreed.every((name) => name === 'permessage-deflate'),
    agreed.join(),
  );
});

test('a token that runs out is renewed on the open socket', async (t) => {
  const tokens: unknown[] = [];
  let connections = 0;
  let renew = () => {};
  const renewed = new Promise<void>((resolve) => {
    renew = resolve;
  });
  const lifetimeMs = 3_600_000;
  const server = await startCoordinator(t, {
    config: { auth: { mode: 'custom' } },
    hooks: {
      onAuthenticate({ token, siteId }) {
        if (siteId === undefined) return undefined;
        if (tokens.push(token) === 2) renew();
        return { siteId, userId: 'ann', expiresAt: server.clock.now() + lifetimeMs };
      },
      onClientConnect() {
        connections++;
        return true;
      },
    },
  });
  const page = await browser.open(t);
  await page.evaluate(() => window.parts.clock.install());
  await start(page, { url: server.wsUrl, hasTokens: true });
  await synced(page);
  // To just before its end, when another one is asked for, and then past it.
  server.clock.advance(lifetimeMs - 40_000);
  await advance(page, lifetimeMs - 20_000);
  await renewed;
  server.clock.advance(60_000);
  await advance(page, 60_000);
  const state = await page.evaluate(() => window.parts.write(1, 'after it').settled);
  assert.equal(state, 'acknowledged');
  assert.deepEqual(tokens, ['token 1', 'token 2']);
  assert.equal(connections, 1);
});

test('100,000 cells arrive with progress, and are there after a reload', async (t) => {
  const [rows, columns, perWrite] = [20_000, 5, 1_000];
  const server = await startCoordinator(t);
  const source = await startClient(t, { url: server.wsUrl });
  const cells = Object.fromEntries(Array.from({ length: columns }, (_, i) => [`c${i}`, i]));
  for (let id = 0; id < rows; id += perWrite) {
    const { settled } = source.transact((tx) => {
      for (let i = 0; i < perWrite; i++) tx.table('cells').set([id + i], cells);
    });
    assert.equal(await settled, 'acknowledged');
  }
  const page = await browser.open(t);
  await start(page, { url: server.wsUrl });
  await synced(page);
  const count = () => page.evaluate(() => window.client.table('cells').all().length);
  assert.equal(await count(), rows);
  const progress = await page.evaluate(() =>
    window.parts.statuses.map(({ bootstrap }) => bootstrap).filter((known) => known !== undefined),
  );
  const received = progress.map((known) => known.received);
  assert.ok(new Set(received).size >= 10, `${received}`);
  assert.deepEqual(
    received,
    received.toSorted((a, b) => a - b),
  );
  assert.deepEqual(progress.at(-1), { received: rows * columns, total: rows * columns });
  await page.reload();
  await start(page, { url: server.wsUrl, connect: false });
  assert.equal(await count(), rows);
});

test('a rejected write is undone, told also after a reload, and can be restored', async (t) => {
  let isAllowed = false;
  const server = await startCoordinator(t, {
    hooks: {
      onBeforeApplyChanges: (_client, changes) =>
        judgeChanges(changes, (change) => {
          const isBad = change.type === 'column' && change.value === 'bad' && !isAllowed;
          return isBad ? { reason: 'not yet', code: 'NOT_YET' } : true;
        }),
    },
  });
  const page = await browser.open(t);
  await start(page, { url: server.wsUrl });
  await write(page, 1, 'good');
  assert.equal(await page.evaluate(() => window.parts.write(1, 'bad').settled), 'rejected');
  assert.deepEqual(await titles(page), ['good']);
  await page.reload();
  await start(page, { url: server.wsUrl });
  await synced(page);
  const outcomes = await page.evaluate(() =>
    window.client.outcomes.list().map(({ state, code, reason, changes }) => {
      return { state, code, reason, values: changes.map(({ value }) => value) };
    }),
  );
  assert.deepEqual(outcomes, [
    { state: 'rejected', code: 'NOT_YET', reason: 'not yet', values: ['bad'] },
  ]);
  isAllowed = true;
  const state = await page.evaluate(() => window.client.outcomes.list()[0]?.restore().settled);
  assert.equal(state, 'acknowledged');
  assert.deepEqual(await titles(page), ['bad']);
  assert.equal(await page.evaluate(() => window.client.outcomes.list().length), 0);
});

browser.test('a page that comes back from the back/forward cache goes on', 'return', async (t) => {
  const server = await startCoordinator(t);
  const page = await browser.open(t);
  await start(page, { url: server.wsUrl });
  await synced(page);
  await page.evaluate(() => {
    addEventListener('pagehide', () => window.parts.seen.push(window.client.status.connection));
    addEventListener('pageshow', ({ persisted }) => window.parts.seen.push(persisted));
  });
  await page.leaveAndReturn(async () => {
    const other = await startClient(t, { url: server.wsUrl });
    await other.transact((tx) => tx.table('tasks').set([1], { title: 'meanwhile' })).settled;
  });
  await page.waitForFunction(() => window.parts.titles().length === 1);
  const [left, isSame] = await page.evaluate(() => window.parts.seen);
  // Its socket is closed: a page that has one open is not kept.
  assert.match(`${left}`, /^(offline|stopped)$/);
  assert.equal(isSame, true);
  await write(page, 2, 'afterwards');
  await synced(page);
});

test('a hidden page lets go after a while, and is live again when it is seen', async (t) => {
  const server = await startCoordinator(t);
  const page = await browser.open(t);
  await page.evaluate(() => window.parts.clock.install());
  await start(page, { url: server.wsUrl });
  await synced(page);
  const setVisibility = (state: DocumentVisibilityState) =>
    page.evaluate((state) => {
      Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
      document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
    }, state);
  await setVisibility('hidden');
  await advance(page, 301_000);
  await page.waitForFunction(() => window.client.status.connection === 'offline');
  const other = await startClient(t, { url: server.wsUrl });
  await other.transact((tx) => tx.table('tasks').set([1], { title: 'unseen' })).settled;
  await setVisibility('visible');
  await page.waitForFunction(() => window.parts.titles().length === 1);
});
