/** What clients name things: no line of a log, no command to a terminal, no other row and no file. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLevelStorage } from '../../src/storage/leveldb/leveldb.ts';
import { Device } from '../../src/testing/device.ts';
import { TestClient } from '../../src/testing/test-client.ts';
import { runProcess } from '../cli/run-process.ts';
import { overHttp, overWebSocket } from '../conformance/transport.ts';
import { startChildServer } from '../support/child-server.ts';
import { openEngine } from '../support/engine.ts';
import { startServer, temporaryDirectory } from '../support/server.ts';

/** As a line of the log would be. */
const FORGED = '2026-01-01T00:00:00.000Z sync-coordinator:server:error forged';
const CLEAR_SCREEN = '\u001b[2J\u009b2J';
const TEXT = `x\n${FORGED}\r\n${FORGED}\u2028${FORGED}\u2029${CLEAR_SCREEN}\u0085\u0000\u202e\u2066\u061c`;

/** What moves a cursor, ends a line somewhere, or turns the direction of writing. */
const UNPRINTABLE = /[^\P{Cc}\n]|[\u2028\u2029\p{Bidi_Control}]/u;

/** Says all that it sees in all ways that hooks have. */
const HOOK = `
export default (_options, { logger }) => ({
  onAuthenticate({ siteId, token, headers }) {
    logger('token ' + token, headers);
    return { siteId, userId: token ?? 'nobody' };
  },
  onBeforeApplyChanges(_client, changeSets) {
    const { column, table, value } = changeSets[0].changes[0];
    logger('seen ' + table + ' of ' + value);
    logger.warn(new Error('seen ' + table));
    logger.error('%s: %O, %o, %j', table, new Error(table), { [table]: value }, { table });
    if (column === 'fails') throw new TypeError(table);
    if (column === 'reports') {
      const cause = Object.assign(new Error(table), { [table]: new Error(table) });
      const report = new Error('it cannot be stored', { cause });
      throw Object.assign(report, { name: 'SyncError', code: 'APPLY_CHANGES_ERROR' });
    }
    if (column === 'rejects') {
      return { approved: [], rejected: [{ reason: table, code: table, table, column: table }] };
    }
    return { approved: changeSets, rejected: [] };
  },
  async onAfterApplyChanges(_client, [{ changes }]) {
    throw new Error(changes[0].table);
  },
});
`;

test('nothing that a client sends makes a line of a log, or reaches the terminal as a command', async (t) => {
  const dataDir = temporaryDirectory();
  writeFileSync(join(dataDir, 'talkative.mjs'), HOOK);
  const file = join(dataDir, 'audit.log');
  const hooks = ['./talkative.mjs', ['sync-coordinator/hooks/audit-log', { file, values: true }]];
  writeFileSync(join(dataDir, 'sync-coordinator.config.json'), JSON.stringify({ hooks }));
  const server = await startChildServer(t, { dataDir, env: { DEBUG: '*' } });
  const device = new Device(1);
  const client = await TestClient.join(server.wsUrl, { siteId: device.siteId, token: TEXT }, t);
  const write = (column: string) => ({
    ...device.write({
      table: TEXT,
      schema: TEXT,
      pk: [TEXT, { [TEXT]: TEXT }],
      set: { [column]: TEXT },
    }),
    transactionId: TEXT,
  });
  client.send({ type: TEXT, requestId: TEXT });
  client.send({ type: 'get_changes', sinceHLC: TEXT });
  const columns = ['fails', 'reports', 'rejects', TEXT];
  for (const column of columns) await client.apply(write(column));
  await client.apply(write('later'), device.migrate('create_table', TEXT, { ddl: TEXT }));
  const headers = {
    'x-site-id': device.siteId,
    // What a header can hold of it.
    'user-agent': 'x\u009b2J\u0085',
    authorization: `Bearer ${FORGED}`,
  };
  for (const column of columns) {
    const body = JSON.stringify([write(column)]);
    await fetch(`${server.httpUrl}/changes`, { method: 'POST', headers, body });
  }
  await fetch(`${server.httpUrl}/${encodeURIComponent(TEXT)}/changes`, { headers });
  await server.kill('SIGTERM');

  const lines = server.output().split('\n');
  assert.doesNotMatch(server.output(), UNPRINTABLE);
  const telling = lines.filter((line) => line.includes('forged'));
  assert.ok(telling.length > 20, 'it was logged');
  for (const line of telling) {
    assert.match(line, /^(?: {2}|\d{4}-\d\d-\d\dT[\d:.]+Z sync-coordinator:)/);
    assert.ok(!line.startsWith('2026-01-01'), line);
  }

  const audit = readFileSync(file, 'utf8');
  assert.doesNotMatch(audit, UNPRINTABLE);
  const entries = audit
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const stored = entries.filter(({ rejected }) => rejected === undefined);
  // Two of the columns and some DDL, and one again by HTTP; each refusal is told, and so is its change.
  assert.deepEqual([stored.length, entries.length - stored.length], [4, 4]);
  const [change] = stored[0].changes;
  assert.deepEqual([change.table, change.schema, change.column, change.value], Array(4).fill(TEXT));
  assert.equal(stored[0].transactionId, TEXT);
  assert.equal(stored[0].userId, TEXT);
});

test('verify shows names of devices on the line of its finding', async (t) => {
  const cwd = temporaryDirectory();
  const storage = await createLevelStorage({ directory: join(cwd, '.data'), durability: 'os' });
  const { manager, store } = await openEngine({ store: await storage.open('default') });
  await manager.apply([new Device(1).write({ table: TEXT, pk: [TEXT], set: { [TEXT]: TEXT } })]);
  const rows = { gte: Buffer.from('r'), lt: Buffer.from('s') };
  await store.exclusive(async (transaction) => {
    for await (const entries of transaction.iterate(rows)) {
      for (const [key] of entries) transaction.delete(key);
    }
  });
  await storage.close();
  const { stdout, code } = await runProcess(t, ['verify'], { cwd });
  assert.equal(code, 1);
  assert.match(stdout, /NOT_MERGED.*forged/);
  assert.doesNotMatch(stdout, UNPRINTABLE);
  for (const line of stdout.trimEnd().split('\n')) assert.match(line, /^database default: /);
});

/** Apart from each other in what a separator, a case or a normalisation could hide. */
const PARTS = [
  '',
  ':',
  '.',
  'a',
  'A',
  'a:',
  ':a',
  'a.b',
  'a:b',
  '\u0000',
  '\u0000a',
  '"',
  '","',
  '\\',
];
const ALIKE = ['é', 'e\u0301', '\ud800', '\udfff', '\ufffd', '/', '../a', '\u00ff', 'null', '0'];

test('no two names of schema, table, key and column share a place, whatever is in them', async (t) => {
  const server = await startServer(t);
  const device = new Device(1);
  const parts = [...PARTS, ...ALIKE];
  const writes = parts.flatMap((schema) =>
    parts.flatMap((table) => [
      { schema, table, pk: [table], set: { [`${schema}${table}`]: [schema, table, 1] } },
      { schema, table, pk: [schema, table], set: { [table]: [schema, table, 2] } },
      { schema, table, pk: [`${schema}:${table}`], set: { [schema]: [schema, table, 3] } },
    ]),
  );
  const author = await overWebSocket(server, device, t);
  const unique = new Set(writes.map((write) => JSON.stringify(write)));
  assert.equal((await author.apply(device.write(...writes))).applied, unique.size);
  const chunks = await (await overHttp(server, new Device(2), t)).snapshot();
  const cells = chunks.flatMap(({ type, entries, schema, table }) => {
    if (type !== 'column-versions' || !Array.isArray(entries)) return [];
    return entries.map(({ column, pk, value }) =>
      JSON.stringify({ schema, table, pk, set: { [column]: value } }),
    );
  });
  assert.deepEqual(cells.sort(), [...unique].sort());
});

test('ids that differ in dots, colons or case are databases of their own, on the disk too', async (t) => {
  const server = await startServer(t);
  const ids = ['.', '..', '...', 'a', 'A', 'a.', 'a:', ':a', 'a_', 'a-', 'Aa', 'aA', 'con', 'CON'];
  const device = new Device(1);
  const join = (databaseId: string, site: Device) =>
    overWebSocket(server, { siteId: site.siteId, databaseId }, t);
  for (const id of ids) {
    await (await join(id, device)).apply(device.write({ pk: [1], set: { id } }));
  }
  for (const id of ids) {
    const changes = (await (await join(id, new Device(2))).changesSince()).flatMap(
      (set) => set.changes,
    );
    assert.deepEqual(
      changes.map((change) => change.type === 'column' && change.value),
      [id],
    );
  }
});
