import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Device } from '../../src/testing/device.ts';
import { type ReceivedMessage, TestClient } from '../../src/testing/test-client.ts';
import { Replica } from '../support/replica.ts';
import {
  CAPTURE_NAMES,
  CAPTURED_BY_MS,
  type CaptureName,
  readCapture,
  replay,
  sentChangeSets,
  shapesOf,
} from './capture.ts';
import { startDeployment } from './deployment.ts';

async function replayCapture(t: TestContext, name: CaptureName) {
  t.mock.timers.enable({ apis: ['Date'], now: CAPTURED_BY_MS });
  const server = await startDeployment(t, { movesClock: true });
  const lines = readCapture(name);
  const played = await replay(t, server.wsUrl, lines);
  const newcomer = new Device(77);
  const fresh = await TestClient.join(
    server.wsUrl,
    { siteId: newcomer.siteId, databaseId: played.databaseId },
    t,
  );
  return { lines, ...played, fresh, snapshot: await fresh.snapshot() };
}

/** Cells of a snapshot, as `table key column`. */
function cellsOf(chunks: Record<string, unknown>[]): Record<string, unknown> {
  const cells = chunks
    .filter(({ type }) => type === 'column-versions')
    .flatMap(({ table, entries }) =>
      (entries as { pk: unknown[]; column: string; value: unknown }[]).map(
        ({ pk, column, value }) => [`${table} ${JSON.stringify(pk)} ${column}`, value],
      ),
    );
  return Object.fromEntries(cells);
}

for (const name of CAPTURE_NAMES) {
  test(`${name}: today's clients are answered in the shapes that they know`, async (t) => {
    const { lines, messages } = await replayCapture(t, name);
    const known = new Map<string, ReceivedMessage[]>();
    const knownShapes = new Set<string>();
    for (const { client, from, message } of lines) {
      if (from !== 'server') continue;
      known.set(client, [...(known.get(client) ?? []), message]);
      for (const shape of shapesOf(message)) knownShapes.add(shape);
    }
    // Pushes and pages may hold what the captured server sent in another kind of message.
    for (const { message } of lines.filter(({ from }) => from === 'client')) {
      const changeSets = message.changes ?? [];
      for (const shape of shapesOf({ type: 'sent', changeSets })) knownShapes.add(shape);
    }
    knownShapes.add('request_changes: sinceHLC, siteId, type');
    for (const [client, heard] of messages) {
      const types = new Set(heard.map(({ type }) => type));
      const expected = new Set((known.get(client) ?? []).map(({ type }) => type));
      assert.equal(types.has('error'), false, `${client} gets no error`);
      for (const type of expected) {
        // Whether there is something to push depends on who was first.
        if (type !== 'push_changes') assert.ok(types.has(type), `${client} gets ${type}`);
      }
      for (const type of types) {
        const isNew = type === 'request_changes' || type === 'push_changes';
        assert.ok(isNew || expected.has(type), `${client} knows ${type}`);
      }
      for (const shape of heard.flatMap(shapesOf)) {
        assert.ok(knownShapes.has(shape), `${client} knows the shape ${shape}`);
      }
    }
  });
}

for (const name of ['a1-live-crud', 'a2-merge-columns', 'c-offline-rejoin'] as const) {
  test(`${name}: a new client gets what all of them wrote`, async (t) => {
    const { lines, snapshot, messages } = await replayCapture(t, name);
    const expected = new Replica();
    expected.apply(sentChangeSets(lines));
    const bootstrapped = new Replica();
    bootstrapped.load(snapshot);
    assert.notDeepEqual(expected.contents(), {});
    assert.deepEqual(bootstrapped.contents(), expected.contents());
    assert.deepEqual(bootstrapped.tombstones(), expected.tombstones());
    const results = [...messages.values()].flat().filter(({ type }) => type === 'apply_result');
    const transactions = results.reduce((sum, result) => sum + Number(result.transactions), 0);
    assert.equal(transactions, sentChangeSets(lines).length);
  });
}

test('a2-merge-columns: two columns of one row, written apart, both hold', async (t) => {
  const { snapshot, lines } = await replayCapture(t, 'a2-merge-columns');
  const authors = new Set(sentChangeSets(lines).map(({ siteId }) => siteId));
  assert.equal(authors.size, 2);
  const entries = snapshot
    .filter(({ type }) => type === 'column-versions')
    .flatMap(({ entries }) => entries as { pk: unknown[]; hlc: string }[]);
  const writers = entries.map(({ hlc }) =>
    Buffer.from(hlc, 'base64').toString('base64url', 10, 26),
  );
  assert.deepEqual(new Set(writers), authors);
});

test('h1-schema-live: DDL comes in ascending order, and cells under the names that hold now', async (t) => {
  const { snapshot, lines } = await replayCapture(t, 'h1-schema-live');
  const migrations = sentChangeSets(lines).flatMap(({ schemaMigrations }) => schemaMigrations);
  const dropped = migrations.filter(({ type }) => type === 'drop_table');
  const renamed = migrations.filter(({ type }) => type === 'rename_table');
  assert.ok(dropped.length > 0 && renamed.length > 0);
  const sent = snapshot.filter(({ type }) => type === 'schema-migration');
  const hlcs = sent.map(({ migration }) => (migration as { hlc: string }).hlc);
  const bytes = hlcs.map((hlc) => Buffer.from(hlc, 'base64'));
  assert.deepEqual(bytes, [...bytes].sort(Buffer.compare));
  const tables = new Set(snapshot.flatMap(({ table = [] }) => table as string | []));
  for (const { table } of dropped) assert.equal(tables.has(table), false);
  for (const { table, fromTable } of renamed) {
    assert.equal(tables.has(String(fromTable)), false, `nothing goes by ${fromTable}`);
    assert.equal(tables.has(table), true, `${table} has its rows`);
  }
});

test('h4-snapshot-after-drop: a new client gets no cells of the dropped table', async (t) => {
  const { snapshot, messages } = await replayCapture(t, 'h4-snapshot-after-drop');
  const captured = messages
    .get('C')
    ?.flatMap(({ chunk }) => (chunk === undefined ? [] : [chunk as Record<string, unknown>]));
  for (const chunks of [snapshot, captured ?? []]) {
    const ddl = chunks.filter(({ type }) => type === 'schema-migration');
    assert.equal(ddl.length, 2, 'what made the table is of no use to anybody');
    assert.equal(
      chunks.some(({ table }) => table === 'gone'),
      false,
    );
    assert.deepEqual(cellsOf(chunks), { 't [1] id': 1, 't [1] x': 'keep' });
  }
});

test('i1-delete-reinsert: the key that was inserted again lives, without a tombstone', async (t) => {
  const { snapshot, lines } = await replayCapture(t, 'i1-delete-reinsert');
  const expected = new Replica();
  expected.apply(sentChangeSets(lines));
  const bootstrapped = new Replica();
  bootstrapped.load(snapshot);
  assert.deepEqual(bootstrapped.contents(), expected.contents());
  const cells = cellsOf(snapshot);
  assert.equal(cells['t [1] id'], 1);
  assert.notEqual(cells['t [1] x'], 'first');
  assert.equal(
    snapshot.some(({ type }) => type === 'tombstone'),
    false,
  );
});
