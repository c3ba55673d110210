/** A standby takes over from a PostgreSQL that dies under load: streaming replication, real sockets. */

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';
import { compareHlc, type HlcText } from '../../../src/clock/hlc.ts';
import type { WireChangeSet } from '../../../src/protocol/schemas.ts';
import type { KVStore } from '../../../src/storage/kv-store.ts';
import { startCoordinator, type TestCoordinator } from '../../../src/testing/coordinator.ts';
import { Device } from '../../../src/testing/device.ts';
import { type ChangeSetsMessage, TestClient } from '../../../src/testing/test-client.ts';
import { overHttp } from '../../conformance/transport.ts';
import { openPostgres, startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { promote, startStandby, stopReplicating, waitForStandby } from '../../support/standby.ts';

interface Pair {
  primary: TestPostgres;
  standby: TestPostgres;
  /** Names both. */
  url: string;
}

async function startPair(t: TestContext): Promise<Pair> {
  // Processes die here, no machine does: what they have written is there.
  const primary = await startPostgres(['-c', 'fsync=off']);
  t.after(async () => {
    // It may be unable to end in order, with a sender that is frozen; or be dead.
    await primary.kill().catch(() => undefined);
    await primary.stop();
  });
  const standby = await startStandby(primary);
  t.after(() => standby.stop());
  const [at, both] = [`:${primary.port}/`, `:${primary.port},127.0.0.1:${standby.port}/`];
  const url = primary.url({ target_session_attrs: 'read-write' }).replace(at, both);
  return { primary, standby, url };
}

/** Writes one transaction after the other, and each again until it is acknowledged. */
class Writer {
  readonly acknowledged: WireChangeSet[] = [];
  /** How often it was told to come again. */
  refused = 0;
  readonly client: TestClient;
  readonly #device: Device;
  readonly #events = new EventEmitter();
  #stopped = false;

  static async join(t: TestContext, { wsUrl }: TestCoordinator, site: number): Promise<Writer> {
    const device = new Device(site);
    return new Writer(device, await TestClient.join(wsUrl, device, t));
  }

  private constructor(device: Device, client: TestClient) {
    this.#device = device;
    this.client = client;
  }

  async run(): Promise<void> {
    for (let row = 0; !this.#stopped; row++) {
      const { siteId } = this.#device;
      await this.#write(this.#device.write({ pk: [siteId, row], set: { n: row } }));
    }
  }

  async #write(changeSet: WireChangeSet): Promise<void> {
    for (;;) {
      const answer = await this.client.apply(changeSet);
      if (answer.type === 'apply_result') {
        this.acknowledged.push(changeSet);
        this.#events.emit('answered');
        return;
      }
      assert.equal(answer.code, 'STORE_UNAVAILABLE');
      assert.equal(answer.fatal, false);
      assert.doesNotMatch(String(answer.message), /storage\.url/, 'that is for the operator');
      this.refused++;
      this.#events.emit('answered');
      // As a client does that is told to come back later, only sooner.
      await sleep(20);
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  get isRunning(): boolean {
    return !this.#stopped;
  }

  /** Resolves when it has been acknowledged so many more. */
  async more(count: number): Promise<void> {
    const wanted = this.acknowledged.length + count;
    while (this.acknowledged.length < wanted) await once(this.#events, 'answered');
  }

  /** Resolves when it has been told so often to come again. */
  async isRefused(count: number): Promise<void> {
    const wanted = this.refused + count;
    while (this.refused < wanted) await once(this.#events, 'answered');
  }
}

/** Asks one node after the other over HTTP for what is new; notes each watermark that has changed. */
async function poll(
  nodes: readonly TestCoordinator[],
  watermarks: HlcText[],
  isOver: () => boolean,
): Promise<void> {
  const headers = { 'x-site-id': new Device(70).siteId };
  for (let turn = 0; !isOver(); turn++) {
    const since = watermarks.at(-1);
    const query = since === undefined ? '' : `?sinceHLC=${encodeURIComponent(since)}`;
    const response = await fetch(`${nodes[turn % nodes.length]?.httpUrl}/changes${query}`, {
      headers,
    });
    const { data } = (await response.json()) as { data?: { watermark: HlcText } };
    if (response.ok && data !== undefined && data.watermark !== since) {
      watermarks.push(data.watermark);
    } else assert.ok(response.ok || response.status === 503, String(response.status));
  }
}

/** What has been pushed to a client. */
function pushedTo(client: TestClient): WireChangeSet[] {
  return client.log
    .filter((message): message is ChangeSetsMessage => message.type === 'push_changes')
    .flatMap(({ changeSets }) => changeSets);
}

const idsOf = (changeSets: readonly WireChangeSet[]): string[] =>
  changeSets.map(({ transactionId }) => transactionId);

function assertRising(positions: readonly HlcText[]): void {
  for (const [i, position] of positions.entries()) {
    const before = positions[i - 1];
    assert.ok(!before || compareHlc(before, position) < 0, `${before} before ${position}`);
  }
}

test('a standby takes over under load: sockets stay, nothing acknowledged is lost, all is pushed', async (t) => {
  const { primary, standby, url } = await startPair(t);
  const config = { storage: url };
  const nodes = [await startCoordinator(t, { config }), await startCoordinator(t, { config })];
  await waitForStandby(primary);
  const listeners = await Promise.all(
    nodes.map(({ wsUrl }, i) => TestClient.join(wsUrl, new Device(90 + i), t)),
  );
  const writers = await Promise.all(
    nodes.flatMap((node, i) => [Writer.join(t, node, 2 * i + 1), Writer.join(t, node, 2 * i + 2)]),
  );
  const writing = Promise.all(writers.map((writer) => writer.run()));
  const watermarks: HlcText[] = [];
  const polling = poll(nodes, watermarks, () => !writers.some((writer) => writer.isRunning));
  await Promise.all(writers.map((writer) => writer.more(20)));
  await primary.kill();
  // Nobody takes writes, and the standby says so, until somebody decides that it shall.
  await Promise.race(writers.map((writer) => writer.isRefused(5)));
  await promote(standby);
  await Promise.all(writers.map((writer) => writer.more(20)));
  for (const writer of writers) writer.stop();
  await Promise.all([writing, polling]);

  const [one] = nodes;
  assert.ok(one);
  const log = await (await overHttp(one, new Device(80), t)).changesSince();
  const ids = idsOf(log);
  assert.equal(new Set(ids).size, ids.length, 'each once');
  const acknowledged = writers.flatMap((writer) => idsOf(writer.acknowledged));
  assert.deepEqual(new Set(ids), new Set(acknowledged), 'all that was acknowledged');
  assertRising(log.map(({ hlc }) => hlc));
  assert.ok(watermarks.length > 10);
  assertRising(watermarks);
  for (const listener of listeners) {
    while (idsOf(pushedTo(listener)).length < ids.length) await listener.nextPush();
    assert.deepEqual(pushedTo(listener), log, 'exactly the log, in its order');
  }
  for (const { socket } of [...listeners, ...writers.map(({ client }) => client)]) {
    assert.equal(socket.readyState, WebSocket.OPEN);
  }
});

async function put(store: KVStore, key: string): Promise<void> {
  await store.exclusive(async (transaction) => transaction.put(Buffer.from(key), Buffer.from('1')));
}

async function has(store: KVStore, key: string): Promise<boolean> {
  const [value] = await store.getMany([Buffer.from(key)]);
  return value !== undefined;
}

async function openStore(t: TestContext, url: string): Promise<KVStore> {
  const storage = await openPostgres(url);
  t.after(() => storage.close());
  return storage.open('shared');
}

/** Resolves when a commit waits for the standby. */
async function commitWaits(primary: TestPostgres): Promise<void> {
  for (;;) {
    const waiting = await primary.rows(
      "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
    );
    if (waiting.length > 0) return;
  }
}

async function waitNoMore(primary: TestPostgres): Promise<void> {
  await primary.query('ALTER SYSTEM RESET synchronous_standby_names');
  await primary.query('SELECT pg_reload_conf()');
}

/** As an operator would, or a shutdown. */
const endWaiting = (primary: TestPostgres, by: string): Promise<void> =>
  primary.query(`SELECT ${by}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`);

// PostgreSQL then has the commit, and says so to whom it cancelled: the standby does not have it.
for (const end of ['pg_terminate_backend', 'pg_cancel_backend']) {
  test(`a commit that the standby lacks is not taken for done: ${end}`, {
    timeout: 60_000,
  }, async (t) => {
    const { primary, standby, url } = await startPair(t);
    const [store, other] = [await openStore(t, url), await openStore(t, url)];
    await put(store, 'before');
    await put(other, 'before');
    await waitForStandby(primary);
    await stopReplicating(primary);
    const late = put(store, 'late');
    const tooEarly = late.then(() => assert.fail('acknowledged, and the standby does not have it'));
    tooEarly.catch(() => undefined);
    await Promise.race([commitWaits(primary), tooEarly]);
    assert.equal(await has(other, 'late'), false, 'nobody else sees it');
    await endWaiting(primary, end);
    while (!(await has(other, 'late')));
    // Found, and waited for once more.
    await Promise.race([commitWaits(primary), tooEarly]);
    // Who has nothing under way may leave.
    await other.close();
    await primary.kill();
    await promote(standby);
    // On a busy machine the promotion may take longer than a write waits for it.
    const told = await late.then(
      () => 'done',
      (error) => error.code,
    );
    assert.ok(told === 'done' || told === 'STORE_UNAVAILABLE', String(told));
    const afterwards = await openStore(t, url);
    assert.equal(await has(afterwards, 'before'), true);
    assert.ok(told !== 'done' || (await has(afterwards, 'late')), 'done, and not there');
  });
}

test('who finds something there that the standby lacks waits for it as well', async (t) => {
  const { primary, standby, url } = await startPair(t);
  const schema = String(new URL(url.replace(/,[^/]*/, '')).searchParams.get('schema'));
  const store = await openStore(t, url);
  await waitForStandby(primary);
  await stopReplicating(primary);
  const bytes = `'\\x${Buffer.from('late').toString('hex')}'`;
  const late = primary.query(`INSERT INTO ${schema}.entries VALUES ('shared', ${bytes}, '1')`);
  await Promise.all([
    assert.rejects(late, /terminated/),
    commitWaits(primary).then(() => endWaiting(primary, 'pg_terminate_backend')),
  ]);
  assert.equal(await has(store, 'late'), true);
  const found = store.exclusive((transaction) => transaction.getMany([Buffer.from('late')]));
  const tooEarly = found.then(() => assert.fail('taken for there, and the standby lacks it'));
  tooEarly.catch(() => undefined);
  await Promise.race([commitWaits(primary), tooEarly]);
  await primary.kill();
  await promote(standby);
  // While nobody took writes it may have been told to come again.
  const told = await found.catch((error) => error.code);
  assert.ok(told === 'STORE_UNAVAILABLE' || told[0] === undefined, String(told));
});

test('what replication that nobody waits for has not brought over is lost', async (t) => {
  const { primary, standby, url } = await startPair(t);
  const store = await openStore(t, url);
  await put(store, 'early');
  await waitForStandby(primary);
  await put(store, 'waited for');
  await waitNoMore(primary);
  await stopReplicating(primary);
  await put(store, 'late');
  await primary.kill();
  await promote(standby);
  const afterwards = await openStore(t, url);
  const keys = ['early', 'waited for', 'late'];
  assert.deepEqual(await Promise.all(keys.map((key) => has(afterwards, key))), [true, true, false]);
});

test('who has seen the new primary never goes back to the old one, should that come back', async (t) => {
  const { primary, standby, url } = await startPair(t);
  const store = await openStore(t, url);
  await waitForStandby(primary);
  await put(store, 'before');
  await waitNoMore(primary);
  await primary.kill();
  await promote(standby);
  await put(store, 'new');
  // It takes writes as if nothing had been, and is the only one that answers.
  await primary.server.start();
  await standby.server.stop();
  await assert.rejects(put(store, 'astray'), { code: 'STORE_UNAVAILABLE' });
  await standby.server.start();
  await put(store, 'after');
  const old = await openStore(t, url.replace(/,[^/]*/, ''));
  const keys = ['before', 'new', 'astray', 'after'];
  assert.deepEqual(await Promise.all(keys.map((key) => has(old, key))), [
    true,
    false,
    false,
    false,
  ]);
});
