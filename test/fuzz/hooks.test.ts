import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { isErrorCode } from '../../src/protocol/error-codes.ts';
import type { ChangeSet } from '../../src/protocol/types.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { Replica } from '../support/replica.ts';
import { holdsAsync } from '../support/runs.ts';
import { startServer, type TestServer } from '../support/server.ts';
import { anyAnswer, changesTwice, type HookAnswer, neverSettling } from './hook-answers.ts';

const SECRET_TABLE = 'secret';

/** What the server's hooks answer, for the case that is being tried. */
interface Script {
  apply: HookAnswer | undefined;
  send: HookAnswer | undefined;
  permit: HookAnswer | undefined;
  identify: HookAnswer | undefined;
}

const NOTHING: Script = {
  apply: undefined,
  send: undefined,
  permit: undefined,
  identify: undefined,
};

/** Only what a site of this number sends and asks is answered by the script. */
const [author, onlooker] = [new Device(1), new Device(2)];

function isAuthor({ siteId }: { siteId?: Uint8Array }): boolean {
  return siteId?.at(-1) === 1;
}

async function startScripted(t: { after(fn: () => unknown): void }) {
  const script: Script = { ...NOTHING };
  const hooks = {
    onAuthenticate: (context: { siteId?: Uint8Array }) =>
      script.identify !== undefined && isAuthor(context)
        ? script.identify(context)
        : { siteId: context.siteId },
    onAuthorize: (client: { siteId: Uint8Array }) =>
      script.permit !== undefined && isAuthor(client) ? script.permit(client) : true,
    onBeforeApplyChanges: (client: { siteId: Uint8Array }, changes: ChangeSet[]) =>
      script.apply !== undefined && isAuthor(client)
        ? script.apply(changes)
        : { approved: changes, rejected: [] },
    onBeforeSendChanges: (client: { siteId: Uint8Array }, changes: ChangeSet[]) =>
      script.send !== undefined && isAuthor(client) ? script.send(changes) : changes,
  };
  const server = await startServer(t, {
    config: { storage: 'memory:', hooks: { timeoutMs: 20 } },
    // What it answers is what the types forbid.
    hooks: hooks as CoordinatorHooks,
  });
  return { server, script };
}

async function joined(server: TestServer, device: Device, databaseId: string): Promise<TestClient> {
  return TestClient.join(server.wsUrl, { siteId: device.siteId, databaseId });
}

/** The whole database, by its log and by a snapshot, which must be the same. */
async function contentsOf(server: TestServer, databaseId: string) {
  const reader = await joined(server, new Device(9), databaseId);
  const [byLog, bySnapshot] = [new Replica(), new Replica()];
  byLog.apply(await reader.changesSince());
  bySnapshot.load(await reader.snapshot());
  reader.socket.terminate();
  assert.deepEqual(bySnapshot.contents(), byLog.contents(), 'the log and the rows agree');
  return byLog.contents();
}

function assertCoded({ type, code }: Record<string, unknown>): void {
  assert.equal(type, 'error');
  assert.ok(isErrorCode(code), String(code));
  const isInside = ['INTERNAL_ERROR', 'APPLY_CHANGES_ERROR', 'GET_CHANGES_ERROR'].includes(code);
  assert.ok(!isInside, `the hook is at fault, not the server: ${code}`);
}

test('whatever a validate hook answers, nothing is stored but what it let through', async (t) => {
  const { server, script } = await startScripted(t);
  let round = 0;
  await holdsAsync(
    fc.asyncProperty(
      fc.oneof(anyAnswer, neverSettling, changesTwice(false)),
      async ({ answer, isRight }) => {
        const databaseId = `apply-${++round}`;
        const writer = await joined(server, author, databaseId);
        const other = await joined(server, onlooker, databaseId);
        script.apply = (value) => answer(value, () => ({ approved: value, rejected: [] }));
        writer.send({
          type: 'apply_changes',
          requestId: 'it',
          changes: [
            author.write({ pk: [1], set: { a: 1 } }),
            author.write({ pk: [2], set: { a: 2 } }),
          ],
        });
        const told = await writer.nextWhere(({ requestId }) => requestId === 'it');
        script.apply = undefined;
        if (told.type !== 'apply_result') assertCoded(told);
        if (!isRight) assert.equal(told.code, 'HOOK_FAILED', JSON.stringify(told));
        const contents = await contentsOf(server, databaseId);
        const all = [1, 2].map((n) => [JSON.stringify(['main', 't', String(n)]), { a: n }]);
        assert.deepEqual(
          contents,
          isRight ? Object.fromEntries(all) : {},
          'just what was approved',
        );
        const good = onlooker.write({ pk: [3], set: { a: 3 } });
        assert.equal((await other.apply(good)).applied, 1, 'others go on');
        await writer.settled();
        assert.ok(writer.log.every(({ type }) => type !== 'error' || told.type === 'error'));
        writer.socket.terminate();
        other.socket.terminate();
      },
    ),
    30,
  );
});

test('whatever a filter answers, it never shows what is to be hidden', async (t) => {
  const { server, script } = await startScripted(t);
  let round = 0;
  await holdsAsync(
    fc.asyncProperty(
      fc.oneof(anyAnswer, neverSettling, changesTwice(true)),
      async ({ answer, isRight }) => {
        const databaseId = `send-${++round}`;
        const writer = await joined(server, onlooker, databaseId);
        await writer.apply(
          onlooker.write({ table: SECRET_TABLE, pk: [1], set: { a: 'hidden' } }),
          onlooker.write({ pk: [1], set: { a: 'seen' } }),
        );
        script.send = (value) => answer(withoutSecrets(value), () => withoutSecrets(value));
        for (const type of ['get_changes', 'get_snapshot']) {
          const reader = await joined(server, author, databaseId);
          reader.send({ type, requestId: 'it' });
          const told = await reader.nextWhere(
            (message) => message.type !== 'snapshot_chunk' && message.type !== 'handshake_ack',
          );
          if (!isRight) assert.equal(told.code, 'HOOK_FAILED', JSON.stringify(told));
          assert.ok(!JSON.stringify(reader.log).includes('hidden'), 'it was hidden');
          reader.socket.terminate();
        }
        script.send = undefined;
        assert.ok(JSON.stringify(await writer.snapshot()).includes('hidden'), 'others see all');
        writer.socket.terminate();
      },
    ),
    16,
  );
});

function withoutSecrets(changeSets: unknown): unknown {
  const sets = changeSets as ChangeSet[];
  return sets
    .map((set) => ({ ...set, changes: set.changes.filter(({ table }) => table !== SECRET_TABLE) }))
    .filter(({ changes }) => changes.length > 0);
}

test('only a clear yes lets anybody do anything', async (t) => {
  const { server, script } = await startScripted(t);
  const answer = fc.oneof(anyAnswer, neverSettling);
  await holdsAsync(
    fc.asyncProperty(answer, fc.boolean(), async ({ answer }, atTheDoor) => {
      const databaseId = 'permits';
      if (atTheDoor) {
        script.identify = (value) => answer(value, () => ({ siteId: author.siteId }));
      } else script.permit = (value) => answer(value, () => 'yes');
      const client = await TestClient.open(server.wsUrl);
      client.send({ type: 'handshake', siteId: author.siteId, databaseId });
      client.send({ type: 'get_changes', requestId: 'it' });
      const told = await client.nextWhere(
        ({ type, requestId }) => type === 'error' || type === 'changes' || requestId === 'it',
      );
      [script.identify, script.permit] = [undefined, undefined];
      // What is right for changes is none to these questions.
      assertCoded(told);
      client.socket.terminate();
    }),
    20,
  );
});
