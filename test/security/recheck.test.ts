/** While a session's credentials are looked at again nothing is sent to it: the hooks may be others, and say no. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import type { TestClient } from '../../src/testing/test-client.ts';
import { deferred } from '../hooks/support.ts';
import { startRechecking } from './recheck-server.ts';

const author = new Device(1);
const reader = new Device(2);

const write = (value: number) => author.write({ pk: [value], set: { value } });
/** What a client has been pushed, in its order. */
const pushedTo = ({ log }: TestClient) =>
  log.flatMap((message) =>
    message.type === 'push_changes' ? (message.changeSets as WireChangeSet[]) : [],
  );
/** What it was sent before has come. */
async function ponged({ socket }: TestClient): Promise<void> {
  socket.ping();
  await once(socket, 'pong');
}
const idsOf = (sets: readonly { transactionId: string }[]) =>
  sets.map(({ transactionId }) => transactionId);

for (const [how, hooks] of Object.entries({
  'without a hook about rights': {},
  'with a hook that allows everything': { onAuthorize: () => true },
  'with a hook that sees all pages': {
    onBeforeSendChanges: (_client: unknown, sets: never) => sets,
  },
} satisfies Record<string, CoordinatorHooks>)) {
  test(`what is written while credentials are looked at again is pushed afterwards, in order: ${how}`, async (t) => {
    const { state, join, reload } = await startRechecking(t, hooks);
    const [writer, client] = [await join('author', author), await join('reader', reader)];
    const rechecked = reload(true);
    await state.looking.promise;
    const sets = [write(1), write(2), write(3)];
    for (const set of sets) await writer.apply(set);
    // What the socket would have been sent by now comes before the answer to this.
    await ponged(client);
    assert.deepEqual(pushedTo(client), []);
    state.verdict.resolve();
    await rechecked;
    while (pushedTo(client).length < 3) await client.next('push_changes');
    assert.deepEqual(idsOf(pushedTo(client)), idsOf(sets));
    const last = write(4);
    await writer.apply(last);
    while (pushedTo(client).length < 4) await client.next('push_changes');
    assert.deepEqual(idsOf(pushedTo(client)), idsOf([...sets, last]));
  });

  test(`who is refused then has been sent nothing that was written meanwhile: ${how}`, async (t) => {
    const { state, join, reload } = await startRechecking(t, hooks);
    const [writer, client] = [await join('author', author), await join('reader', reader)];
    const rechecked = reload(false);
    await state.looking.promise;
    for (let i = 0; i < 3; i++) await writer.apply(write(i));
    state.verdict.resolve();
    await rechecked;
    assert.equal((await client.closed).code, 4001);
    assert.deepEqual(pushedTo(client), []);
    const errors = client.log.filter(({ type }) => type === 'error');
    assert.deepEqual(
      errors.map(({ code }) => code),
      ['AUTH_EXPIRED'],
      'it is told once',
    );
  });
}

test('who waits to be looked at, since many are, is pushed nothing either', async (t) => {
  const { state, join, reload } = await startRechecking(t);
  const writer = await join('author', author);
  const clients = [];
  for (let i = 0; i < 70; i++) clients.push(await join(`user ${i}`, new Device(100 + i)));
  const rechecked = reload(false);
  await state.looking.promise;
  await writer.apply(write(1));
  const last = clients.at(-1) as TestClient;
  await ponged(last);
  state.verdict.resolve();
  await rechecked;
  for (const client of clients) {
    assert.equal((await client.closed).code, 4001);
    assert.deepEqual(pushedTo(client), []);
  }
});

test('what is held back takes no memory for each session: it is read from the log then', async (t) => {
  const { server, state, join, reload } = await startRechecking(t);
  const [writer, client] = [await join('author', author), await join('reader', reader)];
  const rechecked = reload(true);
  await state.looking.promise;
  const text = 'x'.repeat(1_000_000);
  for (let i = 0; i < 20; i++) await writer.apply(author.write({ pk: [i], set: { text } }));
  assert.equal(server.service.queuedBytes(), 0);
  const { answers } = server.service.memory;
  // The author's own session may be going through what it wrote itself.
  for (let i = 0; i < 500 && answers.held > 0; i++) await writer.settled();
  assert.equal(answers.held, 0);
  state.verdict.resolve();
  await rechecked;
  while (pushedTo(client).length < 20) await client.next('push_changes');
});

test('an answer under way waits as well, and ends with who is refused, over WebSocket', async (t) => {
  for (const type of ['get_changes', 'get_snapshot']) {
    const { state, join, reload } = await startRechecking(
      t,
      {},
      { limits: { pageBytes: 1_000_000 } },
    );
    const writer = await join('author', author);
    const text = 'x'.repeat(900_000);
    for (let i = 0; i < 40; i++) await writer.apply(author.write({ pk: [i], set: { text } }));
    const client = await join('reader', reader);
    client.socket.pause();
    client.send({ type });
    await writer.settled();
    const rechecked = reload(false);
    await state.looking.promise;
    client.socket.resume();
    for (let i = 0; i < 500; i++) await writer.settled();
    state.verdict.resolve();
    await rechecked;
    await client.closed;
    const answered = client.log.filter(
      ({ type }) => type === 'changes' || type === 'snapshot_chunk',
    );
    assert.ok(answered.length < 30, `${type}: ${answered.length} messages`);
    assert.ok(!client.log.some(({ type }) => type === 'snapshot_complete'));
  }
});

test('what was read for who it was before is read again for who it is by then, over both transports', async (t) => {
  const roles = { reader: 'all' };
  const [seeing, seen] = [[deferred()], [deferred()]];
  const asked: string[] = [];
  const { server, state, join, reload } = await startRechecking(t, {
    onAuthenticated: ({ userId }) => ({ metadata: { role: userId === 'reader' && roles.reader } }),
    async onBeforeSendChanges({ userId, metadata }, sets) {
      if (userId !== 'reader') return sets;
      asked.push(String(metadata?.role));
      seeing.at(-1)?.resolve();
      await seen.at(-1)?.promise;
      return metadata?.role === 'all' ? sets : sets.map((set) => ({ ...set, changes: [] }));
    },
  });
  const writer = await join('author', author);
  await writer.apply(author.write({ pk: [1], set: { value: 'secret' } }));
  const headers = { 'x-site-id': reader.siteId, authorization: 'reader' };
  const get = async (path: string) =>
    (await fetch(`${server.httpUrl}/${path}`, { headers })).text();
  const client = await join('reader', reader);
  const ways: Record<string, () => Promise<string>> = {
    get_changes: async () => JSON.stringify(await client.changesSince()),
    get_snapshot: async () => JSON.stringify(await client.snapshot()),
    'GET changes': () => get('changes'),
    'GET snapshot': () => get('snapshot'),
  };
  for (const [way, read] of Object.entries(ways)) {
    roles.reader = 'all';
    state.verdict.resolve();
    await server.service.hooksChanged();
    seeing.push(deferred());
    seen.push(deferred());
    asked.length = 0;
    const answered = read();
    await seeing.at(-1)?.promise;
    roles.reader = 'none';
    const rechecked = reload(true);
    seen.at(-1)?.resolve();
    await Promise.race([state.looking.promise, answered]);
    state.verdict.resolve();
    await rechecked;
    assert.doesNotMatch(await answered, /secret/, way);
    assert.equal(asked[0], 'all', way);
  }
});
