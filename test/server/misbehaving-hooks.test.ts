/** Hooks that do what they should not: what their client gets, and that nobody else notices. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { siteIdToText } from '../../src/clock/site-id.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import type { ChangeSet } from '../../src/protocol/types.ts';
import { readerOf } from '../../src/service/access/rights.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { aMoment } from '../support/moment.ts';
import { startServer, type TestServer } from '../support/server.ts';

type BeforeApply = NonNullable<CoordinatorHooks['onBeforeApplyChanges']>;

const [victim, bystander, system] = [new Device(1), new Device(2), new Device(3)];
const never = () => new Promise<never>(() => {});

/** What the victim is answered: the code of an error, or how many changes were applied. */
const MISDEEDS: Record<
  string,
  [act: (server: TestServer) => BeforeApply, answer: string | number]
> = {
  'throws a string': [
    () => () => {
      throw 'text';
    },
    'HOOK_FAILED',
  ],
  hangs: [() => never, 'HOOK_FAILED'],
  'answers nothing': [() => () => undefined as never, 'HOOK_FAILED'],
  'answers with half a verdict': [() => () => ({ approved: [] }) as never, 'HOOK_FAILED'],
  'empties what it was given and approves it': [
    () => (_client, changeSets) => {
      for (const { changes } of changeSets) changes.length = 0;
      return { approved: changeSets, rejected: [] };
    },
    0,
  ],
  'changes its client': [
    () => (client, changeSets) => {
      client.userId = 'root';
      return { approved: changeSets, rejected: [] };
    },
    'HOOK_FAILED',
  ],
  'changes what it has approved, later': [
    () => (_client, changeSets) => {
      const approved = changeSets.map((set): ChangeSet => ({ ...set }));
      setImmediate(() => {
        approved.length = 0;
      });
      return { approved, rejected: [] };
    },
    1,
  ],
  'reads and writes through the service meanwhile': [
    (server) => async (client, changeSets) => {
      const { service } = server;
      const itself = { siteId: new Uint8Array(16).fill(9), userId: 'system' };
      if (client.userId !== 'system') {
        const written = [system.write({ table: 'log', pk: [system.wallTime], set: { x: 1 } })];
        await service.withAccess('default', (access) =>
          service.handleApplyChanges(itself, access, written),
        );
        await service.withAccess('default', (access) =>
          service.delivery.changes(readerOf(itself), access),
        );
      }
      return { approved: changeSets, rejected: [] };
    },
    1,
  ],
};

for (const [name, [act, expected]] of Object.entries(MISDEEDS)) {
  test(`a hook that ${name}: its client hears ${expected}, and nobody else anything`, async (t) => {
    let misbehave: BeforeApply | undefined;
    const server: TestServer = await startServer(t, {
      config: { storage: 'memory:', hooks: { timeoutMs: 200 } },
      hooks: {
        onBeforeApplyChanges(client, changeSets, call) {
          const isBystander = siteIdToText(client.siteId) === bystander.siteId;
          if (isBystander || misbehave === undefined) return { approved: changeSets, rejected: [] };
          return misbehave(client, changeSets, call);
        },
      },
    });
    misbehave = act(server);
    const [one, other] = [
      await TestClient.join(server.wsUrl, victim, t),
      await TestClient.join(server.wsUrl, bystander, t),
    ];
    const answered = one.apply(victim.write({ pk: [1], set: { x: 1 } }));
    for (let i = 0; i < 5; i++) {
      const { applied } = await other.apply(bystander.write({ pk: [10 + i], set: { x: i } }));
      assert.equal(applied, 1);
    }
    const answer = await answered;
    assert.equal(answer.type === 'error' ? answer.code : answer.applied, expected);
    assert.ok(!JSON.stringify(answer).includes('text'));
    misbehave = undefined;
    // Its session is as it was, too.
    assert.equal((await one.apply(victim.write({ pk: [2], set: { x: 2 } }))).applied, 1);
    const tables = (await other.changesSince()).flatMap(({ changes }) =>
      changes.map((c) => c.pk[0]),
    );
    assert.equal(tables.includes(1), expected === 1);
  });
}

test('a hook that gives up when the server stops holds nothing up, and loses nothing', async (t) => {
  let told = () => {};
  const isTold = new Promise<void>((resolve) => {
    told = resolve;
  });
  const server = await startServer(t, {
    config: { storage: 'memory:', limits: { shutdownMs: 50 } },
    hooks: {
      onAfterApplyChanges: (_client, _changes, _result, { signal }) => {
        told();
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new Error('I am leaving')));
        });
      },
    },
  });
  const client = await TestClient.join(server.wsUrl, victim, t);
  assert.equal((await client.apply(victim.write({ pk: [1], set: { x: 1 } }))).applied, 1);
  await isTold;
  await server.stop();
  const calls = server.service.metrics.registry.getSingleMetric('sync_hook_calls_total');
  const outcomes = (await calls?.get())?.values.map(({ labels }) => Reflect.get(labels, 'outcome'));
  assert.deepEqual(outcomes, ['aborted']);
});

test('when too many are told at once, batches wait until it is fewer again', async (t) => {
  const releases: (() => void)[] = [];
  const server = await startServer(t, {
    config: { storage: 'memory:', hooks: { notifyCallsMax: 2 } },
    hooks: {
      onAfterApplyChanges: () => new Promise<void>((resolve) => releases.push(resolve)),
    },
  });
  const client = await TestClient.join(server.wsUrl, victim, t);
  const apply = () => client.apply(victim.write({ pk: [victim.wallTime], set: { x: 1 } }));
  await apply();
  await apply();
  while (releases.length < 2) await aMoment();
  let isAnswered = false;
  const third = apply().finally(() => {
    isAnswered = true;
  });
  // Others are served meanwhile, so the server has had its turns.
  for (let i = 0; i < 5; i++) {
    const headers = { 'x-site-id': bystander.siteId };
    assert.equal((await fetch(`${server.httpUrl}/changes`, { headers })).status, 200);
  }
  assert.equal(isAnswered, false);
  releases.shift()?.();
  assert.equal((await third).applied, 1);
  for (const release of releases) release();
  while (releases.length < 2) await aMoment();
  for (const release of releases) release();
});
