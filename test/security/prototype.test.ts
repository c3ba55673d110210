/**
 * Names that every object knows (`__proto__`, `constructor`, …) are names like any other: they are
 * stored and given back, mean nothing, and change nothing that other objects inherit.
 */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadConfig } from '../../src/config/resolve-config.ts';
import { ConfigError } from '../../src/errors/config-error.ts';
import validateSchema from '../../src/hooks/builtin/validate-schema.ts';
import type { CoordinatorHooks } from '../../src/hooks/types.ts';
import { judgeChanges } from '../../src/hooks/verdicts/judge-changes.ts';
import type { WireChange } from '../../src/protocol/schemas.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { eachTransport } from '../conformance/each-transport.ts';
import { rawRequest } from '../conformance/raw-http.ts';
import { overHttp, overWebSocket } from '../conformance/transport.ts';
import { untyped } from '../hooks/support.ts';
import { startServer, temporaryDirectory } from '../support/server.ts';

const NAMES = [
  ...['__proto__', 'constructor', 'prototype', 'toString', 'valueOf', 'hasOwnProperty'],
  ...['__defineGetter__', '__lookupSetter__', 'isPrototypeOf', 'toJSON', 'then'],
];

/** As JSON has it: an own member called `__proto__`. */
const ODD: unknown = JSON.parse(
  '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":"x"}',
);

const PROTOTYPES: object[] = [
  ...[Object.prototype, Array.prototype, Function.prototype, String.prototype, Map.prototype],
  ...[Uint8Array.prototype, Promise.prototype, Error.prototype, Object],
];

function shapeOf(prototype: object): string {
  const descriptors = Reflect.ownKeys(prototype).map((key) => {
    const { value, get, set } = Object.getOwnPropertyDescriptor(prototype, key) ?? {};
    return [String(key), typeof value, String(value?.name), typeof get, typeof set].join();
  });
  return descriptors.join('\n');
}

/** What all objects inherit stays as it is. */
function guardPrototypes(t: Pick<TestContext, 'after'>): void {
  const before = PROTOTYPES.map(shapeOf);
  t.after(() => {
    assert.deepEqual(PROTOTYPES.map(shapeOf), before);
    assert.equal(Reflect.get({}, 'polluted'), undefined);
  });
}

/** Texts are compared: with a member lost or renamed, objects might still be equal. */
function textOf(change: WireChange): string {
  return `${change.schema} ${change.table} ${change.type} ${cellOf(change)}`;
}

function cellOf(cell: unknown): string {
  const parts = ['column', 'hlc', 'value', 'pk'].map((part) => Reflect.get(Object(cell), part));
  return JSON.stringify(parts);
}

/** Look at everything, and give it back in objects of their own. */
const LOOKING: CoordinatorHooks = {
  onAuthenticate: ({ siteId }) =>
    siteId && { siteId, userId: '__proto__', metadata: JSON.parse(JSON.stringify(ODD)) },
  onAuthorize: ({ metadata = {} }) => !('polluted' in metadata),
  onBeforeApplyChanges: (_client, changeSets) =>
    judgeChanges(changeSets, () => true, { migration: () => true }),
  onBeforeSendChanges: (_client, changeSets) =>
    changeSets.map((set) => ({ ...set, changes: set.changes.map((change) => ({ ...change })) })),
};

eachTransport(
  'names that all objects know are given back as they came, by delta and by snapshot',
  async ({ t, join: enter }) => {
    guardPrototypes(t);
    const device = new Device(1);
    const author = await enter(device);
    const reader = await enter(new Device(2));
    const writes = NAMES.flatMap((table) =>
      NAMES.map((column, i) => ({
        ...{ schema: NAMES[i] ?? '', table, pk: [column, i, ODD] },
        set: Object.fromEntries([[column, i % 2 ? ODD : column]]),
      })),
    );
    const written = { ...device.write(...writes), transactionId: '__proto__' };
    const ddl = NAMES.map((name) => device.migrate('add_index', name, { ddl: name }));
    const deletion = device.write({ pk: ['__proto__'], table: 'gone', delete: true });
    const result = await author.apply(written, ...ddl, deletion);
    assert.equal(result.applied, writes.length + ddl.length + 1);
    const received = await reader.changesSince();
    assert.deepEqual(
      received.flatMap(({ changes }) => changes.map(textOf)),
      [...written.changes, ...deletion.changes].map(textOf),
    );
    assert.equal(received[0]?.transactionId, '__proto__');
    assert.deepEqual(
      received.flatMap(({ schemaMigrations }) => schemaMigrations.map(({ table }) => table)),
      NAMES,
    );
    const [header, ...chunks] = await reader.snapshot();
    const tables = chunks.flatMap(({ type, table }) => (type === 'table-start' ? [table] : []));
    assert.deepEqual(new Set(tables), new Set(NAMES));
    const cells = chunks.flatMap(({ type, entries }) =>
      type === 'column-versions' ? entries : [],
    );
    assert.deepEqual(cells.map(cellOf).sort(), written.changes.map(cellOf).sort());
    const checkpoint = {
      ...{ snapshotId: '__proto__', siteId: new Device(2).siteId, hlc: String(header?.hlc) },
      ...{ completedTables: NAMES.map((name) => `${name}.${name}`), lastTableIndex: 0 },
      ...{ lastEntryIndex: 0, entriesProcessed: 0, createdAt: 0 },
    };
    const rest = await reader.snapshot(checkpoint);
    assert.equal(rest[0]?.snapshotId, '__proto__');
    assert.equal(
      rest.filter(({ type }) => type === 'table-start').length,
      writes.length - NAMES.length,
    );
  },
  { hooks: () => LOOKING },
);

test('databases of such names are databases of their own, over both transports', async (t) => {
  guardPrototypes(t);
  const server = await startServer(t);
  const device = new Device(1);
  for (const [i, databaseId] of NAMES.entries()) {
    const connect = i % 2 ? overHttp : overWebSocket;
    const author = await connect(server, { siteId: device.siteId, databaseId }, t);
    assert.equal(
      (await author.apply(device.write({ pk: [1], set: { x: databaseId } }))).applied,
      1,
    );
  }
  for (const [i, databaseId] of NAMES.entries()) {
    const connect = i % 2 ? overWebSocket : overHttp;
    const reader = await connect(server, { siteId: new Device(2).siteId, databaseId }, t);
    const changes = (await reader.changesSince()).flatMap((set) => set.changes);
    assert.deepEqual(
      changes.map((change) => change.type === 'column' && change.value),
      [databaseId],
    );
  }
});

test('what stands in a member called __proto__ is not taken for what was said', async (t) => {
  guardPrototypes(t);
  const server = await startServer(t, {
    config: { storage: 'memory:', auth: { mode: 'token-whitelist', tokens: ['good'] } },
  });
  const [a, b] = [new Device(1), new Device(2)];
  const ben = await TestClient.join(server.wsUrl, { siteId: b.siteId, token: 'good' }, t);
  const stranger = await TestClient.open(server.wsUrl);
  t.after(() => stranger.socket.terminate());
  const { siteId } = a;
  stranger.socket.send(
    `{"type":"handshake","siteId":"${siteId}","__proto__":{"token":"good"},"constructor":{"token":"good"}}`,
  );
  assert.equal((await stranger.next('error')).code, 'AUTH_FAILED');

  const anna = await TestClient.join(server.wsUrl, { siteId, token: 'good' }, t);
  const changes = JSON.stringify([a.write({ pk: [1], set: { x: 'forged' } })]);
  const set = '{"siteId":"S","transactionId":"","hlc":"H","__proto__":{"changes":[]}}'
    .replace('S', siteId)
    .replace('H', a.hlc(1));
  const refused: [code: string, text: string][] = [
    ['MESSAGE_ERROR', '{"__proto__":{"type":"ping"}}'],
    ['UNKNOWN_MESSAGE', '{"type":"__proto__"}'],
    ['UNKNOWN_MESSAGE', '{"type":"hasOwnProperty"}'],
    ['MESSAGE_ERROR', `{"type":"apply_changes","__proto__":{"changes":${changes}}}`],
    ['MESSAGE_ERROR', `{"type":"apply_changes","changes":{"__proto__":${changes}}}`],
    ['MESSAGE_ERROR', `{"type":"apply_changes","changes":[${set}]}`],
    ['MESSAGE_ERROR', '{"type":"resume_snapshot","__proto__":{"checkpoint":{}}}'],
  ];
  for (const [code, text] of refused) {
    anna.socket.send(text);
    assert.equal((await anna.next('error')).code, code, text);
  }
  anna.socket.send('{"type":"get_changes","requestId":"__proto__","__proto__":{"sinceHLC":7}}');
  await anna.next('changes');

  const headers = { 'x-site-id': siteId, authorization: 'Bearer good' };
  const bodies = [`{"__proto__":{"changes":${changes}}}`, `[${set}]`, '{"constructor":[]}'];
  for (const body of bodies) {
    const answer = await rawRequest(server.httpUrl, {
      ...{ method: 'POST', path: '/sync/changes', headers, body },
    });
    assert.deepEqual([answer.status, answer.json?.error?.code], [400, 'MESSAGE_ERROR'], body);
  }
  const names = ['__proto__', 'constructor', 'tostring'].map((name) => [name, 'good']);
  const odd = { ...Object.fromEntries(names), 'x-site-id': siteId };
  const query = '__proto__[limit]=x&__proto__=x&constructor[prototype][polluted]=1&toString=1';
  const path = `/sync/changes?${query}`;
  assert.equal((await rawRequest(server.httpUrl, { path, headers: odd })).status, 401);
  assert.equal(
    (await rawRequest(server.httpUrl, { path, headers: { ...odd, ...headers } })).status,
    200,
  );

  // Nobody was disturbed, and nothing of it was stored.
  assert.equal((await anna.apply(a.write({ pk: [1], set: { x: 'true' } }))).applied, 1);
  const pushed = (await ben.nextPush()).flatMap((pushedSet) => pushedSet.changes);
  assert.deepEqual(
    pushed.map((change) => change.type === 'column' && change.value),
    ['true'],
  );
});

test('verdicts and errors of hooks may hold such names, and mean nothing by them', async (t) => {
  guardPrototypes(t);
  let thrown: unknown;
  const server = await startServer(t, {
    config: { storage: 'memory:' },
    hooks: untyped({
      onAuthorize() {
        if (thrown !== undefined) throw thrown;
        return true;
      },
      onBeforeApplyChanges: (_client: unknown, sets: Parameters<typeof judgeChanges>[0]) =>
        judgeChanges(sets, (change) =>
          change.table === '__proto__'
            ? {
                reason: '__proto__',
                code: 'constructor',
                ...JSON.parse('{"__proto__":{"pk":[2]}}'),
              }
            : { ...change, value: ODD },
        ),
    }),
  });
  const device = new Device(1);
  for (const connect of [overHttp, overWebSocket]) {
    thrown = undefined;
    const site = await connect(server, { siteId: device.siteId }, t);
    const set = device.write(
      { table: '__proto__', pk: ['constructor'], set: { toString: 1 } },
      { table: 'constructor', pk: ['x'], set: { prototype: 1 } },
    );
    const result = await site.apply(set);
    const { transactionId } = set;
    const place = { schema: 'main', table: '__proto__', column: 'toString', pk: ['constructor'] };
    assert.deepEqual(result.rejected, [
      { reason: '__proto__', code: 'constructor', transactionId, ...place },
    ]);
    const stored = (await site.changesSince()).flatMap((set) => set.changes);
    const last = stored.at(-1);
    assert.ok(last?.type === 'column');
    assert.equal(JSON.stringify(last.value), JSON.stringify(ODD));
    for (const code of NAMES) {
      thrown = Object.assign(new Error('no'), { name: 'SyncError', code });
      await assert.rejects(site.changesSince(), /HOOK_FAILED/);
    }
  }
});

test('a configuration file sets nothing by such names, and rules for such tables hold', async (t) => {
  guardPrototypes(t);
  const cwd = temporaryDirectory();
  const load = (text: string) => {
    writeFileSync(join(cwd, 'sync-coordinator.config.json'), text);
    return loadConfig({ cwd, env: {} });
  };
  for (const name of ['__proto__', 'constructor', 'toString']) {
    for (const text of [`{"${name}":{"port":1}}`, `{"sync":{"${name}":{"batchSize":1}}}`]) {
      assert.throws(
        () => load(text),
        (error) => error instanceof ConfigError && error.message.includes(name),
      );
    }
  }
  const table =
    '{"properties":{"__proto__":{"type":"integer"},"constructor":{"type":"integer"}},"additionalProperties":false}';
  const tables = NAMES.map((name) => `"${name}":${table}`).join();
  const module = 'sync-coordinator/hooks/validate-schema';
  const { hooks } = load(`{"hooks":[["${module}",{"tables":{${tables}}}]]}`);
  const [entry] = hooks.modules;
  assert.ok(Array.isArray(entry));
  const server = await startServer(t, {
    config: { storage: 'memory:', hooks: [[validateSchema, entry[1]]] },
  });
  const device = new Device(1);
  const anna = await overWebSocket(server, device, t);
  for (const name of NAMES) {
    for (const [column, value] of [
      ['__proto__', 'text'],
      ['constructor', 'text'],
      ['toString', 1],
    ] as const) {
      const write = { table: name, pk: [1], set: Object.fromEntries([[column, value]]) };
      const { applied, rejected } = await anna.apply(device.write(write));
      assert.deepEqual([applied, rejected?.[0]?.code], [0, 'SCHEMA'], `${name}.${column}`);
    }
    const good = {
      table: name,
      pk: [1],
      set: Object.fromEntries([
        ['__proto__', 1],
        ['constructor', 2],
      ]),
    };
    assert.equal((await anna.apply(device.write(good))).applied, 2);
  }
});
