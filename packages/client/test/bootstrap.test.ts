/**
 * A snapshot that is broken off: by a lost socket, or by the end of the app between any two commits of
 * its store. Whatever happens, the client ends with what the server has, and its own writes on top.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeHlc } from '../../../src/clock/hlc.ts';
import { siteIdToText } from '../../../src/clock/site-id.ts';
import { createEnvironment, type Environment, type SocketLike } from '../src/environment.ts';
import { createSyncClient, type SyncClient } from '../src/index.ts';
import type { ClientMessage, SnapshotChunk } from '../src/protocol/messages.ts';
import { rowKeyOf } from '../src/replica/entries.ts';
import type { MemoryStore } from '../src/stores/memory.ts';
import type { ClientStore, StoreOperation } from '../src/stores/store.ts';
import { OutlivingStore, synced, until } from './support/client.ts';

const OWN = new Uint8Array(16).fill(1);
const OTHER = new Uint8Array(16).fill(2);
const NOW = Date.now();
/** @param ms before now */
const at = (ms: number, siteId = OTHER) =>
  encodeHlc({ wallTime: BigInt(NOW - ms), counter: 0, siteId, opSeq: 0 });
const POSITION = at(100);

const cells = (table: string, ids: readonly number[], snapshot: string): SnapshotChunk => ({
  ...{ type: 'column-versions', schema: 'main', table },
  entries: ids.map((id) => ({ pk: [id], column: 'title', value: snapshot, hlc: at(5000) })),
});
const border = (type: 'table-start' | 'table-end', table: string): SnapshotChunk =>
  type === 'table-start'
    ? { type, schema: 'main', table, estimatedEntries: 4 }
    : { type, schema: 'main', table, entriesWritten: 4 };

/** @param completed tables that the receiver has */
function chunksOf(snapshotId: string, completed: readonly string[] = []): SnapshotChunk[] {
  const tables = ['a', 'b'].filter((table) => !completed.includes(`main.${table}`));
  const migration = { schema: 'main', table: 'a', ddl: 'create a', schemaVersion: 1 };
  return [
    {
      ...{ type: 'header', siteId: siteIdToText(OTHER), hlc: POSITION, snapshotFormat: 1 },
      ...{ tableCount: 2, migrationCount: 1, snapshotId },
    },
    {
      type: 'schema-migration',
      migration: { type: 'create_table', ...migration, hlc: at(9000) },
    },
    ...tables.flatMap((table) => [
      border('table-start', table),
      cells(table, [1, 2], snapshotId),
      cells(table, [3, 4], snapshotId),
      border('table-end', table),
    ]),
    {
      ...{ type: 'tombstone', schema: 'main', table: 'a' },
      entries: [{ pk: [9], hlc: at(4000), createdAt: 0 }],
    },
    { ...{ type: 'footer', snapshotId }, totalTables: 2, totalEntries: 8, totalMigrations: 1 },
  ];
}

interface Script {
  snapshotId: string;
  /** Whether a checkpoint is honoured. */
  resumes: boolean;
  /** The socket is lost after so many chunks, once. */
  chunksMax?: number;
  asked: string[];
}

/** A server of one socket: refuses the first position that it is asked from, and has a snapshot. */
class ScriptedSocket implements SocketLike {
  onopen: SocketLike['onopen'] = null;
  onmessage: SocketLike['onmessage'] = null;
  onclose: SocketLike['onclose'] = null;
  onerror: SocketLike['onerror'] = null;
  readonly #script: Script;

  constructor(script: Script) {
    this.#script = script;
    queueMicrotask(() => this.onopen?.());
  }

  send(text: string): void {
    const message: ClientMessage = JSON.parse(text);
    this.#script.asked.push(message.type);
    const requestId = 'requestId' in message ? message.requestId : undefined;
    const tell = (answer: object) => {
      const data = JSON.stringify({ ...answer, requestId });
      queueMicrotask(() => this.onmessage?.({ data }));
    };
    if (message.type === 'handshake') {
      const ack = { type: 'handshake_ack', connectionId: '1', databaseId: 'default' };
      tell({ ...ack, serverSiteId: siteIdToText(OTHER), protocolVersion: 1 });
    } else if (message.type === 'get_changes') {
      const isKnown = message.sinceHLC === POSITION;
      const refusal = { code: 'SNAPSHOT_REQUIRED', message: 'too late', fatal: false };
      if (isKnown) tell({ type: 'changes', changeSets: [], hasMore: false });
      else tell({ type: 'error', ...refusal });
    } else if (message.type === 'get_snapshot') {
      this.#snapshot(tell, chunksOf(this.#script.snapshotId));
    } else if (message.type === 'resume_snapshot') {
      const { snapshotId, completedTables } = message.checkpoint;
      const isSame = this.#script.resumes && snapshotId === this.#script.snapshotId;
      this.#snapshot(tell, chunksOf(this.#script.snapshotId, isSame ? completedTables : []));
    } else if (message.type === 'apply_changes') {
      const { length } = message.changes;
      const counts = { applied: length, skipped: 0, conflicts: 0, transactions: length };
      tell({ type: 'apply_result', ...counts });
    } else if (message.type === 'ping') tell({ type: 'pong' });
  }

  #snapshot(tell: (answer: object) => void, chunks: readonly SnapshotChunk[]): void {
    const { chunksMax = chunks.length } = this.#script;
    delete this.#script.chunksMax;
    for (const chunk of chunks.slice(0, chunksMax)) tell({ type: 'snapshot_chunk', chunk });
    if (chunksMax >= chunks.length) tell({ type: 'snapshot_complete' });
    else queueMicrotask(() => this.onclose?.({ code: 1006, reason: '' }));
  }

  close(): void {}
}

/** Stops for good after so many commits: the last one is stored, and nobody hears of it. */
class StoppingStore implements ClientStore {
  readonly #kept: MemoryStore;
  readonly stopped: Promise<void>;
  #left: number;
  #stop = () => {};

  constructor(kept: MemoryStore, commits: number) {
    this.#kept = kept;
    this.#left = commits;
    this.stopped = new Promise((resolve) => {
      this.#stop = resolve;
    });
  }

  load() {
    return this.#kept.load();
  }

  async commit(operations: readonly StoreOperation[]): Promise<void> {
    if (this.#left-- > 0) await this.#kept.commit(JSON.parse(JSON.stringify(operations)));
    if (this.#left > 0) return;
    this.#stop();
    await new Promise<never>(() => {});
  }

  async close(): Promise<void> {}
}

function environmentOf(script: Script): Environment {
  // Nothing is waited for: the next try comes at once.
  const random = () => 0;
  return { ...createEnvironment(), random, openSocket: () => new ScriptedSocket(script) };
}

/** A replica of before: rows that are gone by now, one that it has deleted itself, and a write that waits. */
async function storeOfBefore(): Promise<MemoryStore> {
  const store = new OutlivingStore();
  const siteId = siteIdToText(OWN);
  const row = (id: number, more: object) => ({
    type: 'put' as const,
    key: `row/0/${rowKeyOf({ schema: 'main', table: 'a', pk: [id] })}`,
    value: { schema: 'main', table: 'a', pk: [id], cells: {}, ...more },
  });
  await store.commit([
    {
      type: 'put',
      key: 'meta',
      value: { format: 2, databaseId: 'default', siteId, generation: 0, position: at(60_000) },
    },
    row(7, { cells: { title: [at(70_000), 'gone'] } }),
    row(8, { tombstone: at(65_000, OWN) }),
  ]);
  const client = createSyncClient({ url: '', store, connect: false });
  await client.ready;
  await client.transact((tx) => tx.table('a').set([2], { note: 'mine' })).durable;
  await client.close();
  return store;
}

async function assertWhole(client: SyncClient, store: MemoryStore, snapshot: string) {
  const title = snapshot;
  const expected = [1, 2, 3, 4].map((id) => [[id], id === 2 ? { title, note: 'mine' } : { title }]);
  assert.deepEqual(
    client
      .table('a')
      .all()
      .map(({ pk, row }) => [pk, row]),
    expected,
  );
  assert.equal(client.table('b').all().length, 4);
  assert.equal(client.migrations.length, 1);
  assert.equal(client.status.bootstrap, undefined);
  await client.close();
  const entries = new Map(await store.load());
  const { generation, position } = entries.get('meta') as { generation: number; position: string };
  assert.equal(position, POSITION);
  const others = [...entries.keys()].filter(
    (key) => /^(row|ddl)\//.test(key) && key.split('/')[1] !== `${generation}`,
  );
  assert.deepEqual(others, [], 'nothing is left of another generation');
  const deleted = [...entries.values()].filter((value) => Reflect.get(Object(value), 'tombstone'));
  assert.equal(deleted.length, 2, 'the server’s deletion, and its own, which nobody tells it');
}

for (const resumes of [true, false]) {
  const what = resumes ? 'is resumed' : 'begins anew under another id';
  test(`a snapshot ${what} after the app ended between any two commits`, async () => {
    let isThrough = false;
    for (let commits = 0; !isThrough; commits++) {
      const kept = await storeOfBefore();
      const store = new StoppingStore(kept, commits);
      const asked: string[] = [];
      const environment = environmentOf({ snapshotId: 'first', resumes: true, asked });
      const first = createSyncClient({ url: '', store, environment });
      await first.ready;
      isThrough = await Promise.race([
        store.stopped.then(() => false),
        synced(first).then(() => true),
      ]);
      first.disconnect();
      const snapshotId = resumes ? 'first' : 'second';
      const again = createSyncClient({
        ...{ url: '', store: kept },
        environment: environmentOf({ snapshotId, resumes, asked: [] }),
      });
      await again.ready;
      const hadAll = again.table('b').all().length === 4;
      await synced(again);
      await assertWhole(again, kept, hadAll ? 'first' : snapshotId);
      assert.ok(commits < 100, 'it never comes to its end');
    }
  });
}

test('a snapshot is resumed after a lost socket, and its progress counts nothing twice', async () => {
  for (let chunksMax = 1; chunksMax < chunksOf('first').length; chunksMax++) {
    const kept = await storeOfBefore();
    const script: Script = { snapshotId: 'first', resumes: true, chunksMax, asked: [] };
    const client = createSyncClient({ url: '', store: kept, environment: environmentOf(script) });
    await client.ready;
    let most = { received: 0, total: 0 };
    client.subscribeStatus(() => {
      most = client.status.bootstrap ?? most;
    });
    await until(client, ({ connection, pending }) => connection === 'live' && pending === 0);
    assert.deepEqual(most, { received: 9, total: 8 });
    assert.ok(script.asked.includes('resume_snapshot'));
    await assertWhole(client, kept, 'first');
  }
});

/** Its first commit of a snapshot lasts until it is let go. */
class SlowStore extends OutlivingStore {
  commits = 0;
  letGo = () => {};
  readonly #isLetGo = new Promise<void>((resolve) => {
    this.letGo = resolve;
  });

  override async commit(...[operations, condition]: Parameters<MemoryStore['commit']>) {
    const isOfSnapshot = operations.some(({ type }) => type !== 'put') || this.commits > 0;
    if (isOfSnapshot && this.commits++ === 0) await this.#isLetGo;
    await super.commit(operations, condition);
  }
}

test('a snapshot is taken in while the store is busy, which writes what came together', async () => {
  const store = new SlowStore();
  const script: Script = { snapshotId: 'first', resumes: true, asked: [] };
  const client = createSyncClient({ url: '', store, environment: environmentOf(script) });
  await client.ready;
  await until(client, ({ bootstrap }) => bootstrap?.received === 9);
  assert.equal(client.table('b').all().length, 0, 'it is shown as a whole');
  store.letGo();
  await synced(client);
  assert.ok(store.commits < chunksOf('first').length, `${store.commits} commits`);
  assert.equal(client.table('b').all().length, 4);
  await client.close();
});
