/** While a session's credentials are looked at again nothing of it is stored: the hooks may be others, and say no. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { Device } from '../../src/testing/device.ts';
import type { TestClient } from '../../src/testing/test-client.ts';
import { deferred } from '../hooks/support.ts';
import { startRechecking } from './recheck-server.ts';

type Rechecking = Awaited<ReturnType<typeof startRechecking>>;

const author = new Device(1);
const reader = new Device(2);
const write = (value: number) => author.write({ pk: [value], set: { value } });

/** Sends it over either transport; gives the code that it is refused with, or how many were applied. */
async function send(
  { server, join }: Pick<Rechecking, 'server' | 'join'>,
  transport: string,
  changes: object[],
): Promise<() => Promise<unknown>> {
  if (transport === 'websocket') {
    const client = await join('reader', reader);
    return () => {
      client.send({ type: 'apply_changes', changes });
      const isAnswer = ({ type }: { type: string }) => type === 'error' || type === 'apply_result';
      return client.nextWhere(isAnswer).then(({ code, applied }) => code ?? applied);
    };
  }
  const headers = { 'x-site-id': reader.siteId, authorization: 'reader' };
  const request = { method: 'POST', headers, body: JSON.stringify(changes) };
  return async () => {
    const response = await fetch(`${server.httpUrl}/changes`, request);
    const { error, data } = (await response.json()) as {
      error?: { code: string };
      data?: { applied: number };
    };
    return error?.code ?? data?.applied;
  };
}

async function stored({ join }: Pick<Rechecking, 'join'>): Promise<string> {
  return JSON.stringify(await (await join('author', new Device(9))).changesSince());
}

/** Long enough for what was sent to have been stored, if nothing held it. */
async function others(writer: TestClient): Promise<void> {
  for (let i = 0; i < 100; i++) await writer.settled();
}

test('what a hook is still looking at when its sender is refused is not stored, over both transports', async (t) => {
  for (const transport of ['websocket', 'http']) {
    const [judging, judged] = [deferred(), deferred()];
    const { server, state, join, reload } = await startRechecking(t, {
      async onBeforeApplyChanges({ userId }, changes) {
        if (userId === 'reader') {
          judging.resolve();
          await judged.promise;
        }
        return { approved: changes, rejected: [] };
      },
    });
    const changes = [reader.write({ pk: ['refused'], set: { value: 1 } })];
    let answer: Promise<unknown>;
    if (transport === 'websocket') {
      const client = await join('reader', reader);
      client.send({ type: 'apply_changes', changes });
      answer = client.next('error').then(({ code }) => code);
    } else {
      const headers = { 'x-site-id': reader.siteId, authorization: 'reader' };
      const body = JSON.stringify(changes);
      answer = fetch(`${server.httpUrl}/changes`, { method: 'POST', headers, body })
        .then((response) => response.json())
        .then((body) => (body as { error: { code: string } }).error.code);
    }
    await judging.promise;
    const rechecked = reload(false);
    state.verdict.resolve();
    await rechecked;
    judged.resolve();
    assert.equal(await answer, 'AUTH_EXPIRED', transport);
    const writer = await join('author', author);
    // Of the same database, and after it in the queue.
    await writer.apply(write(1));
    const stored = await (await join('author', new Device(9))).changesSince();
    assert.doesNotMatch(JSON.stringify(stored), /refused/, transport);
  }
});

for (const isGood of [false, true]) {
  const end = isGood ? 'is stored once they are good' : 'is not stored when they are refused';
  test(`what is sent by who waits to be looked at, since many are, ${end}`, async (t) => {
    const { state, join, reload } = await startRechecking(t);
    const writer = await join('author', author);
    const devices = Array.from({ length: 70 }, (_, i) => new Device(100 + i));
    const clients: TestClient[] = [];
    for (const device of devices) clients.push(await join('reader', device));
    const rechecked = reload(isGood);
    await state.looking.promise;
    const [last, device] = [clients.at(-1), devices.at(-1)];
    assert.ok(last !== undefined && device !== undefined);
    const changes = [device.write({ pk: ['waiting'], set: { value: 1 } })];
    last.send({ type: 'apply_changes', changes });
    await others(writer);
    assert.doesNotMatch(await stored({ join }), /waiting/);
    state.verdict.resolve();
    await rechecked;
    if (isGood) assert.equal((await last.next('apply_result')).applied, 1);
    else assert.equal((await last.closed).code, 4001);
    assert.equal(/waiting/.test(await stored({ join })), isGood);
    const errors = last.log.filter(({ type }) => type === 'error').map(({ code }) => code);
    assert.deepEqual(errors, isGood ? [] : ['AUTH_EXPIRED']);
  });

  for (const transport of ['websocket', 'http'])
    for (const serial of [false, true]) {
      const how = `${transport}${serial ? ', serial' : ''}`;
      test(`a batch that hooks have let pass while its sender is looked at ${end}: ${how}`, async (t) => {
        const [judging, judged] = [deferred(), deferred()];
        const hooks: CoordinatorHooks = {
          async onBeforeApplyChanges({ userId }, changes) {
            if (userId === 'reader') {
              judging.resolve();
              await judged.promise;
            }
            return { approved: changes, rejected: [] };
          },
        };
        const started = await startRechecking(t, hooks, {}, { serial });
        const { state, join, reload } = started;
        const writer = await join('author', author);
        const changes = [reader.write({ pk: ['judged'], set: { value: 1 } })];
        const apply = await send(started, transport, changes);
        const answer = apply();
        await judging.promise;
        const rechecked = reload(isGood);
        await state.looking.promise;
        judged.resolve();
        await others(writer);
        // Nobody else waits with it.
        await writer.apply(write(1));
        assert.doesNotMatch(await stored({ join }), /judged/);
        state.verdict.resolve();
        await rechecked;
        assert.equal(await answer, isGood ? 1 : 'AUTH_EXPIRED');
        assert.equal(/judged/.test(await stored({ join })), isGood);
      });
    }
}
