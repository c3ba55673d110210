/** What a client is told of a failure: a code and a sentence for it, and nothing of the inside. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { HOOK_NAMES, type HookName } from '../../src/hooks/kinds.ts';
import { isErrorCode } from '../../src/protocol/error-codes.ts';
import { Device } from '../../src/testing/device.ts';
import { type ReceivedMessage, TestClient } from '../../src/testing/test-client.ts';
import { type RawResponse, rawRequest } from '../conformance/raw-http.ts';
import { untyped } from '../hooks/support.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { faultsOf } from './failing-storage.ts';

const STORAGE = fileURLToPath(new URL('./failing-storage.ts', import.meta.url));
/** An answer that does not come is a failure, too. */
const FAIL = { timeout: 20_000 };
const faults = faultsOf();
const { failures } = faults;
const [ANNA, BEN] = [new Device(1), new Device(2)];

/** As drivers throw them: with a path, a query, a secret, a stack, and a cause that has them too. */
class DriverError extends Error {
  override readonly name = 'DriverError';
  readonly path = '/srv/app/data/db-default/000003.log';
  readonly query = 'SELECT password FROM users';
}

function createFault(): DriverError {
  const message = 'ENOENT /srv/app/.env: password=hunter2 at connect (/srv/app/pg.ts:7:9)';
  return new DriverError(message, { cause: new TypeError(message) });
}

/** Of the classes, files, queries and secrets inside. Codes of errors are in capitals. */
const INSIDE =
  /hunter2|password|ENOENT|SELECT|\/srv|node_modules|\.ts\b|\.js\b|\bat .*:\d+|[a-z](?:Error|Exception)\b|InvalidAnswer|JSON|undefined|leveldb|memory:/;

function assertTold(told: unknown, fields: readonly string[], where: string): void {
  assert.ok(typeof told === 'object' && told !== null);
  const { code, message } = told as Record<string, unknown>;
  assert.ok(isErrorCode(code), `${where}: ${code}`);
  assert.ok(typeof message === 'string' && message.length > 0 && message.length < 200, where);
  const unknown = Object.keys(told).filter((field) => !fields.includes(field));
  assert.deepEqual(unknown, [], where);
  assert.doesNotMatch(JSON.stringify(told), INSIDE, where);
}

const FRAME_FIELDS = ['type', 'code', 'message', 'fatal', 'requestId', 'retryAfterMs'];

function assertFrame(frame: ReceivedMessage, where: string): void {
  assert.equal(frame.type, 'error', where);
  assertTold(frame, FRAME_FIELDS, where);
}

function assertAnswer({ json, text, headers }: RawResponse, where: string): void {
  assert.deepEqual(Object.keys(json ?? {}), ['ok', 'error'], where);
  assertTold(json?.error, ['code', 'message'], where);
  assert.doesNotMatch(text + JSON.stringify(headers), INSIDE, where);
}

let row = 0;
const write = () => ANNA.write({ pk: [row++], set: { x: 1 } });

/** Each operation over HTTP. */
async function askAll({ httpUrl }: TestServer): Promise<Map<string, RawResponse>> {
  const answers = new Map<string, RawResponse>();
  const headers = { 'x-site-id': BEN.siteId, authorization: 'Bearer t' };
  for (const path of ['changes', 'snapshot', 'apply']) {
    const sent = path === 'apply' ? { method: 'POST', body: JSON.stringify([write()]) } : {};
    answers.set(path, await rawRequest(httpUrl, { path: `/sync/${path}`, headers, ...sent }));
  }
  return answers;
}

const REQUESTS = ['get_changes', 'get_snapshot', 'apply_changes'];

const LAST_ANSWERS = new Set(['error', 'changes', 'apply_result', 'snapshot_complete']);

/** Each operation on a socket that is in, or as many as it lives to see: what came of them. */
async function sendAll(client: TestClient): Promise<ReceivedMessage[]> {
  const answers: ReceivedMessage[] = [];
  for (const type of REQUESTS) {
    if (client.socket.readyState !== WebSocket.OPEN) break;
    client.send({ type, requestId: type, changes: [write()] });
    answers.push(await client.nextWhere((message) => LAST_ANSWERS.has(message.type), type));
  }
  return answers;
}

async function shakeHands(t: TestContext, { wsUrl }: TestServer) {
  const client = await TestClient.open(wsUrl);
  t.after(() => client.socket.terminate());
  client.send({ type: 'handshake', siteId: ANNA.siteId, token: 't' });
  const answer = await client.nextWhere(() => true);
  return { client, answer };
}

function resetFailures(): void {
  for (const place of ['open', 'read', 'write'] as const) delete failures[place];
  faults.isGarbageRead = false;
}

const STORE_FAULTS: [name: string, begin: () => void][] = [
  [
    'cannot be read or written',
    () => {
      failures.read = createFault();
      failures.write = createFault();
    },
  ],
  [
    'throws what is no error',
    () => {
      failures.read = { password: 'hunter2' };
      failures.write = 'password=hunter2';
    },
  ],
  [
    'gives what makes the engine itself fail',
    () => {
      faults.isGarbageRead = true;
      failures.write = createFault();
    },
  ],
];

for (const [name, begin] of STORE_FAULTS) {
  test(
    `a store that ${name}: neither transport tells more than a code and a sentence`,
    FAIL,
    async (t) => {
      t.after(resetFailures);
      const server = await startServer(t, { config: { storage: STORAGE } });
      const { client } = await shakeHands(t, server);
      const other = await TestClient.join(server.wsUrl, { siteId: BEN.siteId }, t);
      await other.apply(BEN.write({ pk: [row++], set: { x: 1 } }));
      begin();
      const frames = await sendAll(client);
      assert.deepEqual(
        frames.map(({ requestId }) => requestId),
        REQUESTS,
      );
      for (const frame of frames) assertFrame(frame, String(frame.requestId));
      for (const [path, answer] of await askAll(server)) {
        if (path !== 'snapshot' || answer.status !== 200) assertAnswer(answer, path);
        // It had begun: the last line says what went wrong.
        else assert.doesNotMatch(answer.text, INSIDE);
      }
    },
  );
}

test(
  'a store that cannot be opened: neither transport tells more than a code and a sentence',
  FAIL,
  async (t) => {
    t.after(resetFailures);
    const server = await startServer(t, { config: { storage: STORAGE } });
    failures.open = createFault();
    const { client, answer } = await shakeHands(t, server);
    assertFrame(answer, 'the handshake');
    assert.doesNotMatch((await client.closed).reason, INSIDE);
    for (const [path, told] of await askAll(server)) assertAnswer(told, path);
  },
);

/** Hooks whose failing nobody is told of. */
const SILENT: ReadonlySet<HookName> = new Set([
  'onAfterApplyChanges',
  'onClientHandover',
  'onClientDisconnect',
]);

const HOOK_FAULTS: [name: string, fail: () => unknown][] = [
  [
    'throws',
    () => {
      throw createFault();
    },
  ],
  ['rejects', () => Promise.reject(createFault())],
  [
    'throws what is no error',
    () => {
      throw { name: 'SyncError', code: 'HOOK_FAILED', message: 'password=hunter2' };
    },
  ],
  ['answers nonsense', () => createFault()],
  [
    'throws a SyncError with a cause',
    () => {
      const error = new Error('not today', { cause: createFault() });
      throw Object.assign(error, { name: 'SyncError', code: 'INTERNAL_ERROR', detail: 'hunter2' });
    },
  ],
];

for (const [name, fail] of HOOK_FAULTS) {
  test(
    `a hook that ${name}: neither transport tells more than a code and a sentence`,
    FAIL,
    async (t) => {
      for (const hook of HOOK_NAMES.filter((each) => !SILENT.has(each))) {
        let fails = false;
        const passes: Partial<Record<HookName, (...args: never[]) => unknown>> = {
          onAuthenticate: ({ siteId }: { siteId: Uint8Array }) => ({ siteId }),
          onAuthenticated: () => undefined,
          onBeforeApplyChanges: (_: unknown, approved: unknown) => ({ approved, rejected: [] }),
          onBeforeSendChanges: (_: unknown, changes: unknown) => changes,
        };
        const pass = passes[hook] ?? (() => true);
        const server = await startServer(t, {
          config: { storage: 'memory:' },
          hooks: untyped({
            [hook]: (...args: never[]) => (fails ? fail() : pass(...args)),
          }),
        });
        const { client } = await shakeHands(t, server);
        const other = await TestClient.join(server.wsUrl, { siteId: BEN.siteId }, t);
        await other.apply(BEN.write({ pk: [row++], set: { x: 1 } }));
        fails = true;
        const late = await shakeHands(t, server);
        await sendAll(client);
        const answers = await askAll(server);
        const frames = [late.answer, ...client.log].filter(({ type }) => type === 'error');
        const refused = [...answers].filter(([, { json }]) => json?.ok === false);
        assert.ok(frames.length > 0, hook);
        for (const frame of frames) assertFrame(frame, hook);
        if (hook !== 'onClientConnect') assert.ok(refused.length > 0, hook);
        for (const [path, answer] of refused) assertAnswer(answer, `${hook}: ${path}`);
        for (const { text } of answers.values()) assert.doesNotMatch(text, INSIDE, hook);
      }
    },
  );
}
