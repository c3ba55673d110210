import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import auditLog, { type AuditLogOptions } from '../../src/hooks/builtin/audit-log.ts';
import { HookHost, type HookHostConfig } from '../../src/hooks/chain/hook-host.ts';
import { judgeChanges } from '../../src/hooks/verdicts/judge-changes.ts';
import { decodeChangeSet } from '../../src/protocol/types.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { startServer, temporaryDirectory } from '../support/server.ts';
import {
  afterApply,
  CLIENT,
  changeSet,
  RESULT,
  setUpModule,
  surroundings,
  testChain,
} from './support.ts';

function readLines(path: string): Record<string, unknown>[] {
  const text = readFileSync(path, 'utf8');
  assert.ok(text === '' || text.endsWith('\n'));
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

async function start(t: TestContext, options: Partial<AuditLogOptions> = {}) {
  const file = join(temporaryDirectory(), 'logs/audit.log');
  const module = await setUpModule(t, auditLog, { file, ...options });
  const chain = testChain([module.hooks], { timeoutMs: 5000 });
  const tell = async (transactionId: string) => {
    afterApply(chain, CLIENT, [changeSet(transactionId)], { result: RESULT });
    await chain.drain(5000);
  };
  return { file, module, chain, tell };
}

test('through a server: who changed what, from which site, and what was refused', async (t) => {
  const file = join(temporaryDirectory(), 'audit.log');
  const onBeforeApplyChanges = (_client: unknown, sets: Parameters<typeof judgeChanges>[0]) =>
    judgeChanges(sets, (change) => (change.pk[0] === 2n ? { reason: 'no', code: 'TWO' } : true), {
      migration: () => true,
    });
  const server = await startServer(t, {
    config: {
      storage: 'memory:',
      hooks: [[auditLog, { file, values: true }]],
    },
    hooks: {
      onAuthenticate: ({ siteId }) => siteId && { siteId, userId: 'ann' },
      onBeforeApplyChanges,
    },
  });
  const device = new Device(1);
  const client = await TestClient.join(server.wsUrl, device, t);
  const photo = { __bin: 'AAEC' };
  const two = { __bigint: '2' };
  const kept = { pk: ['a\nb'], set: { title: 'Buy\nmilk', photo } };
  const rejected = device.write({ pk: [two], set: { title: 'x' } });
  await client.apply(
    device.write(kept, { pk: [1], delete: true }),
    rejected,
    device.migrate('create_table', 't'),
  );
  await server.stop();
  const lines = readLines(file);
  assert.equal(lines.length, 3);
  const [first, second, refused] = lines as {
    changes: Record<string, unknown>[];
    schemaMigrations: { ddl: string }[];
    rejected: unknown;
  }[];
  for (const line of lines) {
    assert.equal(line.userId, 'ann');
    assert.equal(line.siteId, device.siteId);
    assert.equal(line.databaseId, 'default');
    assert.ok(Math.abs(Date.parse(String(line.time)) - Date.now()) < 60_000);
  }
  assert.deepEqual(
    first?.changes.map(({ hlc: _, ...change }) => change),
    [
      {
        type: 'column',
        schema: 'main',
        table: 't',
        pk: ['a\nb'],
        column: 'title',
        value: 'Buy\nmilk',
      },
      { type: 'column', schema: 'main', table: 't', pk: ['a\nb'], column: 'photo', value: photo },
      { type: 'delete', schema: 'main', table: 't', pk: [1] },
    ],
  );
  assert.deepEqual(second?.schemaMigrations[0]?.ddl, 'create_table t');
  assert.deepEqual(refused?.rejected, {
    schema: 'main',
    table: 't',
    column: 'title',
    pk: [two],
    code: 'TWO',
    reason: 'no',
    transactionId: rejected.transactionId,
  });
  assert.equal(statSync(file).mode & 0o077, 0, 'nobody else may read it');
});

test('values are left out unless they are asked for', async (t) => {
  const { file, tell, module } = await start(t);
  await tell('1');
  await module.close();
  assert.doesNotMatch(readFileSync(file, 'utf8'), /milk/);
});

test('a full file is put aside, compressed, and no more are kept than should be', async (t) => {
  const { file, tell, module } = await start(t, { maxBytes: 1024, maxFiles: 2, compress: true });
  for (let i = 0; i < 30; i++) await tell(`transaction ${i}`);
  await module.close();
  const directory = join(file, '..');
  const aside = readdirSync(directory).filter((name) => name.endsWith('.gz'));
  assert.ok(aside.length >= 1 && aside.length <= 2, aside.join());
  for (const name of aside) {
    const text = gunzipSync(readFileSync(join(directory, name))).toString();
    for (const line of text.split('\n').filter(Boolean)) JSON.parse(line);
  }
});

test('a file that cannot be written fails the start, and says which', async (t) => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'file'), '');
  const file = join(directory, 'file/audit.log');
  await assert.rejects(
    setUpModule(t, auditLog, { file }),
    /audit-log.*setup failed.*(ENOTDIR|EEXIST)/,
  );
  await assert.rejects(setUpModule(t, auditLog, { file: directory }), /setup failed/);
  await assert.rejects(setUpModule(t, auditLog, {}), /must have "file"/);
});

test('what cannot be written is counted as a failure, and later lines are written again', async (t) => {
  const { file, tell, chain } = await start(t, { maxBytes: 1024 });
  await tell('before');
  const directory = join(file, '..');
  // The next rotation can't make its file: a directory of its name is in the way.
  rmSync(directory, { recursive: true });
  writeFileSync(directory, '');
  const lines = Array.from({ length: 10 }, (_, i) => `lost ${i}`);
  for (const line of lines) await tell(line);
  assert.ok(chain.outcomes.includes('onAfterApplyChanges 0 error'), chain.outcomes.join());
  rmSync(directory);
  mkdirSync(directory);
  chmodSync(directory, 0o700);
  await tell('after');
  assert.match(readFileSync(file, 'utf8'), /"transactionId":"after"/);
});

test('a reload while lines are written loses none and tears none', async (t) => {
  const file = join(temporaryDirectory(), 'audit.log');
  const config: HookHostConfig = {
    auth: { mode: 'none', tokens: [] },
    hooks: { modules: [[auditLog, { file }]], timeoutMs: 5000, notifyCallsMax: 1000 },
    limits: { shutdownMs: 5000 },
  };
  const host = await HookHost.load(config, { codeHooks: undefined, surroundings: surroundings() });
  t.after(() => host.close(1000));
  let told = 0;
  const tell = () => {
    for (let i = 0; i < 20; i++) {
      afterApply(host.chain, CLIENT, [changeSet(`${told++}`)], { result: RESULT });
    }
  };
  for (let i = 0; i < 5; i++) {
    tell();
    const reloaded = host.reload(config);
    tell();
    await reloaded;
  }
  await host.close(5000);
  const ids = readLines(file).map(({ transactionId }) => Number(transactionId));
  assert.deepEqual(
    ids.toSorted((a, b) => a - b),
    Array.from({ length: told }, (_, i) => i),
  );
});

test('without values a line is as long as its changes are many, whatever their names and DDL', async (t) => {
  const { file, chain } = await start(t);
  const device = new Device(1);
  const long = 'x'.repeat(1_000_000);
  const sets = [
    device.migrate('create_table', 't', { ddl: `secret ${long}` }),
    device.write({ pk: [long, 'one'], set: { a: 1 } }, { pk: [`${long}`, 'two'], set: { a: 1 } }),
    device.write({ pk: new Array(10_000).fill(7), set: { [long]: 1 } }),
  ];
  const rejected = [{ reason: long, table: 't', pk: [long] }];
  afterApply(chain, CLIENT, sets.map(decodeChangeSet), { result: { ...RESULT, rejected } });
  await chain.drain(5000);
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  assert.equal(lines.length, 4);
  for (const line of lines) assert.ok(line.length < 3000, `${line.length} characters`);
  assert.doesNotMatch(lines.join(), /secret/);
  const [made, written] = readLines(file) as {
    schemaMigrations: unknown;
    changes: { pk: unknown }[];
  }[];
  assert.deepEqual(made?.schemaMigrations, [{ type: 'create_table', schema: 'main', table: 't' }]);
  const [one, two] = written?.changes ?? [];
  assert.notDeepEqual(one?.pk, two?.pk, 'what is cut is told apart');
});

test('a reload begins a new file where the old one was moved away, deleted or is to be kept otherwise', async (t) => {
  const { file, tell } = await start(t);
  await tell('1');
  renameSync(file, `${file}.moved`);
  await setUpModule(t, auditLog, { file });
  await tell('2');
  rmSync(file);
  await setUpModule(t, auditLog, { file });
  await tell('3');
  await setUpModule(t, auditLog, { file, maxBytes: 1024, maxFiles: 99 });
  for (let i = 4; i < 20; i++) await tell(String(i));
  const idsOf = (name: string) => readLines(name).map(({ transactionId }) => transactionId);
  assert.deepEqual(idsOf(`${file}.moved`), ['1']);
  assert.ok(readdirSync(dirname(file)).length > 3);
  const rest = readdirSync(dirname(file)).filter((name) => !/\.(moved|txt)$/.test(name));
  const ids = rest.flatMap((name) => idsOf(join(dirname(file), name)));
  assert.deepEqual(ids.sort(), Array.from({ length: 17 }, (_, i) => String(i + 3)).sort());
});
