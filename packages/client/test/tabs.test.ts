/** Tabs that share a store: one has the connection, and all show the same. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { hlcWallTimeMs } from '../../../src/clock/hlc.ts';
import { judgeChanges } from '../../../src/index.ts';
import { startCoordinator, type TestOwner } from '../../../src/testing/index.ts';
import type { SyncClient, Write } from '../src/index.ts';
import { startClient, synced, until, untilTable } from './support/client.ts';
import { SimulatedProfile, type SimulatedTab } from './support/simulated-profile.ts';

async function openTabs(
  owner: TestOwner,
  profile: SimulatedProfile,
  url: string,
  count: number,
): Promise<SimulatedTab[]> {
  const tabs = Array.from({ length: count }, () => profile.open({ url }));
  owner.after(() => closeAll(profile));
  await Promise.all(tabs.map(({ client }) => client.ready));
  await leaderOf(tabs);
  return tabs;
}

async function closeAll(profile: SimulatedProfile): Promise<void> {
  for (const tab of profile.tabs) if (tab.isStopped) tab.goOn();
  await Promise.all([...profile.tabs].map((tab) => tab.close()));
}

/** The one that leads, as soon as there is one. */
async function leaderOf(tabs: Iterable<SimulatedTab>): Promise<SimulatedTab> {
  return Promise.race(
    [...tabs].map(async (tab) => {
      await until(tab.client, ({ isLeader }) => isLeader);
      return tab;
    }),
  );
}

/** Resolves once one of them leads, and it alone has a socket: at once, but for a machine that is slow. */
async function oneLeads(tabs: readonly SimulatedTab[]): Promise<void> {
  const isMet = () =>
    tabs.filter(({ client }) => client.status.isLeader).length === 1 &&
    tabs.every(({ client, sockets }) => sockets.size === (client.status.isLeader ? 1 : 0));
  while (!isMet()) await new Promise((resolve) => setTimeout(resolve, 20));
}

function untilOutcomes({ outcomes }: SyncClient, count: number): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (outcomes.list().length !== count) return;
      end();
      resolve();
    };
    const end = outcomes.subscribe(look);
    look();
  });
}

const set = (tab: SimulatedTab, key: number, title: string) =>
  tab.client.transact((tx) => {
    tx.table('tasks').set([key], { title });
  });

test('tabs that open an empty store at once are one site, and one of them connects', async (t) => {
  const server = await startCoordinator(t);
  const profile = new SimulatedProfile();
  const tabs = await openTabs(t, profile, server.wsUrl, 4);
  await Promise.all(tabs.map(({ client }) => synced(client)));
  assert.equal(new Set(tabs.map(({ client }) => client.siteId)).size, 1);
  await oneLeads(tabs);
});

test('what a tab writes is shown in the others, sent by the leader, and settled where it was written', async (t) => {
  const server = await startCoordinator(t);
  const device = await startClient(t, { url: server.wsUrl });
  const tabs = await openTabs(t, new SimulatedProfile(), server.wsUrl, 3);
  for (const [i, tab] of tabs.entries())
    assert.equal(await set(tab, i, 'x').settled, 'acknowledged');
  for (const { client } of [...tabs, { client: device }]) {
    await untilTable(client, 'tasks', (rows) => rows.length === 3);
    await until(client, ({ pending }) => pending === 0);
  }
  device.transact((tx) => {
    tx.table('tasks').set([9], { title: 'from afar' });
  });
  for (const { client } of tabs) await untilTable(client, 'tasks', (rows) => rows.length === 4);
});

test('a write that is rejected is an outcome in all tabs, and restored in another', async (t) => {
  const server = await startCoordinator(t, {
    hooks: {
      onBeforeApplyChanges: (_client, changes) =>
        judgeChanges(changes, (change) =>
          change.type === 'column' && change.value === 'bad' ? { reason: 'it is bad' } : true,
        ),
    },
  });
  const tabs = await openTabs(t, new SimulatedProfile(), server.wsUrl, 3);
  for (const [i, tab] of tabs.entries()) {
    const write = set(tab, i, 'bad');
    assert.equal(await write.settled, 'rejected');
    assert.equal(write.state, 'rejected');
  }
  for (const { client } of tabs) await untilOutcomes(client, 3);
  const [one, two, three] = tabs;
  assert.ok(one !== undefined && two !== undefined && three !== undefined);
  two.client.outcomes.list()[0]?.dismiss();
  for (const { client } of tabs) await untilOutcomes(client, 2);
  await one.client.outcomes.list()[0]?.restore().settled;
  for (const { client } of tabs) await synced(client);
  for (const { client } of tabs) await untilOutcomes(client, 2);
  const ids = ({ client }: SimulatedTab) => client.outcomes.list().map(({ id }) => id);
  for (const tab of tabs) assert.deepEqual(ids(tab), ids(three));
});

test('a leader that is closed or killed is succeeded, and what was not answered is sent', async (t) => {
  const server = await startCoordinator(t);
  const profile = new SimulatedProfile();
  const tabs = new Set(await openTabs(t, profile, server.wsUrl, 3));
  for (const end of ['close', 'kill'] as const) {
    for (const { client } of tabs) client.disconnect();
    const leader = await leaderOf(tabs);
    tabs.delete(leader);
    const [follower] = tabs;
    assert.ok(follower !== undefined);
    const own = set(follower, tabs.size, 'x');
    await set(leader, 10 + tabs.size, 'y').durable;
    await leader[end]();
    const next = await leaderOf(tabs);
    await until(next.client, ({ connection }) => connection === 'stopped');
    next.client.connect();
    assert.equal(await own.settled, 'acknowledged');
    for (const { client } of tabs) {
      await synced(client);
      assert.deepEqual(client.table('tasks').get([10 + tabs.size]), { title: 'y' });
    }
  }
});

test('a leader that is stopped is succeeded, and does no harm when it goes on', async (t) => {
  const server = await startCoordinator(t);
  const profile = new SimulatedProfile();
  const tabs = await openTabs(t, profile, server.wsUrl, 2);
  const leader = await leaderOf(tabs);
  const follower = tabs.find((tab) => tab !== leader);
  assert.ok(follower !== undefined);
  await set(leader, 1, 'first').settled;
  const half = set(leader, 2, 'under way when it was stopped');
  leader.stop();
  assert.equal(await set(follower, 3, 'sent by the next').settled, 'acknowledged');
  leader.goOn();
  assert.equal(await half.settled, 'acknowledged');
  await until(leader.client, ({ isLeader }) => !isLeader);
  await untilTable(leader.client, 'tasks', (rows) => rows.length === 3);
  await synced(leader.client);
  await oneLeads(tabs);
});

test('a tab that was stopped before it wrote that it leads ends no other one that does', async (t) => {
  const server = await startCoordinator(t);
  const profile = new SimulatedProfile();
  const tabs = await openTabs(t, profile, server.wsUrl, 2);
  const leader = await leaderOf(tabs);
  await synced(leader.client);
  // What that tab writes when it goes on, before it learns that it has lost the lock.
  profile.entries.set('lead', `${'0'.repeat(16)}/7`);
  assert.equal(await set(leader, 1, 'by the one with the lock').settled, 'acknowledged');
  await oneLeads(tabs);
});

test('what a tab has stored and told nobody, since it was killed, is sent once another tab comes', async (t) => {
  const server = await startCoordinator(t);
  const profile = new SimulatedProfile();
  const tabs = await openTabs(t, profile, server.wsUrl, 2);
  const leader = await leaderOf(tabs);
  await synced(leader.client);
  const killed = tabs.find((tab) => tab !== leader);
  assert.ok(killed !== undefined);
  set(killed, 1, 'the last thing it did');
  while (![...profile.entries.keys()].some((key) => key.startsWith('out/'))) {
    await new Promise(setImmediate);
  }
  killed.kill();
  const next = profile.open({ url: server.wsUrl });
  await next.client.ready;
  await untilTable(leader.client, 'tasks', (rows) => rows.length === 1);
  await until(next.client, ({ pending }) => pending === 0);
  await oneLeads([leader, next]);
});

test('a write that its tab tells of late, after its answer, waits in no tab that is new', async (t) => {
  const server = await startCoordinator(t);
  const profile = new SimulatedProfile();
  const tabs = await openTabs(t, profile, server.wsUrl, 2);
  const leader = await leaderOf(tabs);
  await synced(leader.client);
  const stopped = tabs.find((tab) => tab !== leader);
  assert.ok(stopped !== undefined);
  const write = set(stopped, 1, 'told late');
  while (![...profile.entries.keys()].some((key) => key.startsWith('out/'))) {
    await new Promise(setImmediate);
  }
  stopped.stop();
  const early = profile.open({ url: server.wsUrl });
  await untilTable(leader.client, 'tasks', (rows) => rows.length === 1);
  await until(leader.client, ({ pending }) => pending === 0);
  const late = profile.open({ url: server.wsUrl });
  await Promise.all([early.client.ready, late.client.ready]);
  stopped.goOn();
  assert.equal(await write.settled, 'acknowledged');
  for (const { client } of [stopped, early, late, leader]) {
    await until(client, ({ pending }) => pending === 0);
  }
});

test('going offline, a token and the state of the connection are one for all tabs', async (t) => {
  const server = await startCoordinator(t);
  const tabs = await openTabs(t, new SimulatedProfile(), server.wsUrl, 3);
  const [one] = tabs;
  assert.ok(one !== undefined);
  for (const tab of tabs) {
    tab.client.disconnect();
    for (const { client } of tabs)
      await until(client, ({ connection }) => connection === 'stopped');
    const write = set(tab, 1, 'offline');
    for (const { client } of tabs) await until(client, ({ pending }) => pending === 1);
    one.client.connect();
    await write.settled;
    for (const { client } of tabs) await synced(client);
  }
});

test('a clock that is wrong is corrected in all tabs, also in one that comes later', async (t) => {
  const server = await startCoordinator(t);
  const profile = new SimulatedProfile();
  profile.skewMs = 3_600_000;
  const tabs = await openTabs(t, profile, server.wsUrl, 2);
  for (const { client } of tabs) await synced(client);
  const late = profile.open({ url: server.wsUrl });
  await late.client.ready;
  for (const [i, tab] of [...tabs, late].entries()) {
    const { id, settled } = set(tab, i, 'x');
    assert.ok(hlcWallTimeMs(id) < Date.now() + 60_000, `tab ${i} goes by the device's clock`);
    await settled;
  }
});

type Step = 'write' | 'stop' | 'go on' | 'kill' | 'close' | 'open' | 'afar' | 'offline' | 'online';

const STEPS: readonly Step[] = [
  ...Array<Step>(6).fill('write'),
  'stop',
  'stop',
  'go on',
  'kill',
  'close',
  'open',
  'open',
  'afar',
  'offline',
  'online',
];

/** A profile whose tabs come, write, are stopped, go on and go, while another device writes. */
async function live(url: string, seed: number, steps: readonly [Step, number][]): Promise<void> {
  const databaseId = `tabs-${seed}`;
  const random = seeded(seed);
  const profile = new SimulatedProfile(random);
  const options = { url, databaseId };
  const owner = {
    afters: [] as (() => unknown)[],
    after: (run: () => unknown) => owner.afters.push(run),
  };
  const device = await startClient(owner, options);
  const durable = new Set<number>();
  const writes: { tab: SimulatedTab; write: Write }[] = [];
  const closing = new Map<SimulatedTab, Promise<void>>();
  let keys = 0;
  try {
    for (let i = 0; i < 3; i++) profile.open(options);
    for (const [step, pick] of steps) {
      const tabs = [...profile.tabs].filter((tab) => !closing.has(tab));
      const tab = tabs[pick % tabs.length];
      if (step === 'open' || tab === undefined) {
        if (tabs.length < 4) profile.open(options);
      } else if (step === 'write' && !tab.isStopped && tab.client.siteId !== '') {
        const key = keys++;
        const write = set(tab, key, `by a tab`);
        set(tab, 1_000_000 + (pick % 3), `${key}`);
        writes.push({ tab, write });
        void write.durable.then(() => durable.add(key));
      } else if (step === 'afar') {
        device.transact((tx) => {
          tx.table('tasks').set([1_000_000 + (pick % 3)], { title: `afar ${pick}` });
          tx.table('tasks').set([2_000_000 + keys++], { title: 'afar' });
        });
      } else if (step === 'stop') tab.stop();
      else if (step === 'go on') tab.goOn();
      else if (step === 'kill') tab.kill();
      else if (step === 'close' && !tab.isStopped) closing.set(tab, tab.close());
      else if (step === 'offline') tab.client.disconnect();
      else if (step === 'online') tab.client.connect();
      await new Promise((resolve) => setTimeout(resolve, pick % 40));
    }
    await Promise.all(closing.values());
    for (const tab of profile.tabs) tab.goOn();
    profile.open(options);
    const tabs = [...profile.tabs];
    await Promise.all(tabs.map(({ client }) => client.ready));
    // What the others said last may arrive after this.
    while (!tabs.every(({ client }) => client.status.connection === 'live')) {
      for (const { client } of tabs) client.connect();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await Promise.all(tabs.map(({ client }) => synced(client)));
    for (const { tab, write } of writes) {
      if (profile.tabs.has(tab)) assert.notEqual(await write.settled, undefined);
    }
    await synced(device);
    const reader = await startClient(owner, options);
    await synced(reader);
    const expected = reader.table('tasks').all();
    const keysThere = new Set(expected.map(({ pk }) => pk[0]));
    for (const key of durable) assert.ok(keysThere.has(key), `write ${key} is lost`);
    for (const { client } of tabs) {
      await untilTable(client, 'tasks', (rows) => isDeepStrictEqual(rows, expected));
    }
    const hlcs = profile.committed.flatMap((operation) =>
      operation.type === 'put' && operation.key.startsWith('out/') ? [operation.key] : [],
    );
    assert.equal(new Set(hlcs).size, hlcs.length, 'each write has a time of its own');
    await oneLeads(tabs);
  } finally {
    await closeAll(profile);
    for (const run of owner.afters) await run();
  }
}

/** mulberry32 */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

test('whatever becomes of tabs, nothing durable is lost and all show what the server has', async (t) => {
  const server = await startCoordinator(t);
  const step = fc.tuple(fc.constantFrom(...STEPS), fc.nat(1_000));
  const history = fc.array(step, { minLength: 5, maxLength: 40 });
  const seed = Number(process.env.TABS_SEED ?? 1);
  const runs = Number(process.env.TABS_RUNS ?? 20);
  // They mostly wait, so they live at the same time.
  const histories = fc.sample(history, { seed, numRuns: runs });
  for (let i = 0; i < histories.length; i += 10) {
    await Promise.all(
      histories.slice(i, i + 10).map((steps, j) =>
        live(server.wsUrl, seed * 1_000_003 + i + j, steps).catch((error: Error) => {
          const where = `TABS_SEED=${seed}, history ${i + j}: ${JSON.stringify(steps)}`;
          throw new Error(`${error.message}\n${where}`, {
            cause: error,
          });
        }),
      ),
    );
  }
});
