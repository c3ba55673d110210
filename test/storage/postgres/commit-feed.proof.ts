/** Word of commits, over real connections, with polls that come soon. */

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { createLogger } from '../../../src/logging/logger.ts';
import { parsePostgresUrl } from '../../../src/storage/postgres/address.ts';
import { CommitFeed } from '../../../src/storage/postgres/commit-feed.ts';
import { createConnections } from '../../../src/storage/postgres/connections.ts';
import { NotificationLag } from '../../../src/storage/postgres/notification-lag.ts';
import { openPostgres, startPostgres } from '../../support/postgres.ts';
import { startPostgresProxy } from '../../support/postgres-proxy.ts';

const postgres = await startPostgres();
after(() => postgres.stop());

/** It watches two databases; `heard` counts how often it was told to look. */
async function startFeed(t: TestContext, url: string, pollMs: number) {
  const address = parsePostgresUrl(url);
  const connections = createConnections({
    address,
    connectionsMax: 1,
    onLost: () => undefined,
  });
  const { schema } = address;
  const feed = new CommitFeed({ connections, schema, pollMs, logger: createLogger('test:feed') });
  const missedWhenHeard: number[] = [];
  const it = { feed, schema, heard: 0, missedWhenHeard };
  for (const id of ['shared', 'other']) {
    feed.watch(id, 0);
    feed.listen(id, () => {
      it.heard++;
      missedWhenHeard.push(feed.figures().missed);
    });
  }
  await feed.start();
  t.after(async () => {
    await feed.close();
    await connections.close();
  });
  await until(() => feed.figures().connected);
  return it;
}

/** Two databases whose versions the test raises, as a node does that commits. */
async function createDatabases(): Promise<string> {
  const url = postgres.url();
  const storage = await openPostgres(url);
  const { schema } = parsePostgresUrl(url);
  await storage.open('shared');
  await storage.open('other');
  await storage.close();
  await postgres.query(`UPDATE ${schema}.databases SET version = 0`);
  return url;
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await wait(5);
}

const commitUntold = (schema: string, where = "database_id = 'shared'"): Promise<void> =>
  postgres.query(`UPDATE ${schema}.databases SET version = version + 1 WHERE ${where}`);

const tell = (schema: string, version: number): Promise<void> =>
  postgres.query(`SELECT pg_notify('${schema}', '${randomUUID()} ${version} shared')`);

test('what is found by asking, and no word comes of, was missed: once', async (t) => {
  const { feed, schema, missedWhenHeard } = await startFeed(t, await createDatabases(), 50);
  await commitUntold(schema);
  await until(() => feed.figures().missed > 0);
  await commitUntold(schema);
  await until(() => feed.figures().missed > 1);
  assert.deepEqual(
    missedWhenHeard,
    [0, 1],
    'the first one counts no more when the second is found',
  );
});

test('what is found by asking before its word comes was not missed', async (t) => {
  const it = await startFeed(t, await createDatabases(), 1000);
  await commitUntold(it.schema, 'true');
  await until(() => it.heard === 2);
  await tell(it.schema, 1);
  // The other one, found by the same poll.
  await until(() => it.feed.figures().missed > 0);
  assert.equal(it.feed.figures().missed, 1);
});

test('where there is nothing to tell, word still shows how long it takes', async (t) => {
  const { feed } = await startFeed(t, await createDatabases(), 50);
  await until(() => feed.figures().lagMs !== undefined);
});

test('a connection that hangs is given up, and made anew', async (t) => {
  const proxy = await startPostgresProxy(t, postgres);
  const { feed, schema } = await startFeed(t, proxy.through(await createDatabases()), 200);
  await until(() => feed.figures().lagMs !== undefined);
  proxy.pause();
  await until(() => !feed.figures().connected);
  assert.equal(feed.figures().lagMs, undefined);
  proxy.resume();
  await until(() => feed.figures().connected);
  assert.ok(feed.figures().reconnects >= 1);
  const missed = feed.figures().missed;
  await commitUntold(schema);
  await until(() => feed.figures().missed > missed);
});

test('the lag is that of the last word, and grows while the next one is overdue', () => {
  const lag = new NotificationLag();
  const minuteAgo = performance.now() - 60_000;
  lag.received();
  assert.equal(lag.ms, undefined, 'nothing was told');
  lag.published(performance.now());
  lag.received();
  const last = lag.ms;
  assert.ok(last !== undefined && last < 60_000);
  lag.published(minuteAgo);
  lag.published(performance.now());
  assert.ok((lag.ms ?? 0) >= 60_000, 'since the first that is awaited');
  lag.lost();
  assert.equal(lag.ms, last);
});
