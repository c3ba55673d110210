/** DDL that the server has stored, whose answer was lost: sent again it counts as skipped. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { startCoordinator } from '../../../src/testing/index.ts';
import type { MigrationInput, SyncClientOptions } from '../src/index.ts';
import { OUT } from '../src/replica/entries.ts';
import { MemoryStore } from '../src/stores/memory.ts';
import type { StoredValue } from '../src/stores/store.ts';
import { startClient, synced, until, untilTable } from './support/client.ts';

const create = (table: string): MigrationInput => ({
  ...{ type: 'create_table', table, ddl: `create table ${table}` },
});
const drop = (table: string): MigrationInput => ({
  ...{ type: 'drop_table', table, ddl: `drop table ${table}` },
});
const rename = (fromTable: string, table: string): MigrationInput => ({
  ...{ type: 'rename_table', table, fromTable, ddl: `rename ${fromTable} to ${table}` },
});

/** The message with a text that comes after so many others with it, itself included. */
function nth(count: number, text: string): (sent: string) => boolean {
  let left = count;
  return (sent) => sent.includes(text) && --left === 0;
}

/**
 * A transport that loses the answer to one batch, and the connection with it.
 * @param lost called before that
 */
function losingAnswerTo(
  isMeant: (sent: string) => boolean,
  lost = () => {},
): Pick<SyncClientOptions, 'WebSocket'> {
  let meant: string | undefined;
  class LosingSocket extends WebSocket {
    override send(text: string): void {
      const { requestId } = JSON.parse(text);
      if (meant === undefined && isMeant(text)) meant = requestId;
      super.send(text);
    }
    override emit(event: string, ...args: unknown[]): boolean {
      if (event === 'message' && meant !== undefined && meant !== '') {
        const { type, requestId } = JSON.parse(String(args[0]));
        if (type === 'apply_result' && requestId === meant) {
          meant = '';
          lost();
          this.terminate();
          return true;
        }
      }
      return super.emit(event, ...args);
    }
  }
  return { WebSocket: LosingSocket };
}

/** Once armed it tells what it holds when the next write is answered, as an app that is killed then leaves it. */
class WatchedStore extends MemoryStore {
  isArmed = false;
  readonly left: Promise<Map<string, StoredValue>>;
  #tell: (left: Map<string, StoredValue>) => void = () => {};

  constructor() {
    super();
    this.left = new Promise((resolve) => {
      this.#tell = resolve;
    });
  }

  override async commit(...[operations, condition]: Parameters<MemoryStore['commit']>) {
    await super.commit(operations, condition);
    const isAnswered = operations.some((it) => it.type === 'delete' && it.key.startsWith(OUT));
    if (this.isArmed && isAnswered) this.#tell(new Map(await super.load()));
  }
}

test('a table that is made again after a rename, by the same statement, is there though the answer was lost', async (t) => {
  const { wsUrl: url } = await startCoordinator(t);
  const ann = await startClient(t, { url, ...losingAnswerTo(nth(2, '"create_table"')) });
  await ann.migrate(create('a')).settled;
  await ann.migrate(rename('a', 'b')).settled;
  assert.equal(await ann.migrate(create('a')).settled, 'acknowledged');
  assert.deepEqual(
    ann.migrations.map(({ type }) => type),
    ['create_table', 'rename_table', 'create_table'],
  );
});

test('what others write to it meanwhile is not taken for the table that had its name before', async (t) => {
  const { wsUrl: url } = await startCoordinator(t);
  const losing = losingAnswerTo(nth(2, '"create_table"'), () => ann.disconnect());
  const ann = await startClient(t, { url, ...losing });
  const ben = await startClient(t, { url });
  await ann.migrate(create('a')).settled;
  await ann.migrate(rename('a', 'b')).settled;
  const again = ann.migrate(create('a'));
  await until(ben, () => ben.migrations.length === 3);
  await ben.transact((tx) => tx.table('a').set([1], { x: 1 })).settled;
  await until(ann, () => ann.status.connection === 'stopped');
  ann.connect();
  await again.settled;
  await untilTable(ann, 'a', (rows) => rows.length === 1);
  assert.deepEqual(ann.table('b').all(), []);
});

test('a rename whose answer was lost is not forgotten where the app is killed at the next one', async (t) => {
  const { wsUrl: url } = await startCoordinator(t);
  const store = new WatchedStore();
  const losing = losingAnswerTo(nth(3, '"rename_table"'));
  const killed = await startClient(t, { url, store, ...losing });
  await killed.migrate(create('a')).settled;
  await killed.migrate(rename('a', 'b')).settled;
  await killed.migrate(rename('b', 'a')).settled;
  store.isArmed = true;
  killed.migrate(rename('a', 'b'));
  const left = new MemoryStore(await store.left);
  const again = await startClient(t, { url, store: left });
  await synced(again);
  assert.deepEqual(
    again.migrations.map(({ table }) => table),
    ['a', 'b', 'a', 'b'],
  );
});

test('a drop takes effect though the answer was lost, and the same statement had been said before', async (t) => {
  const { wsUrl: url } = await startCoordinator(t);
  const losing = losingAnswerTo(nth(2, '"drop_table"'));
  const ann = await startClient(t, { url, ...losing });
  for (const ddl of [create('a'), drop('a'), create('a')]) await ann.migrate(ddl).settled;
  await ann.transact((tx) => tx.table('a').set([1], { x: 1 })).settled;
  assert.equal(await ann.migrate(drop('a')).settled, 'acknowledged');
  await untilTable(ann, 'a', (rows) => rows.length === 0);
  assert.deepEqual(
    ann.migrations.map(({ type }) => type),
    ['drop_table'],
  );
});

test('a table that is made as others have made it already is not asked for anew', async (t) => {
  const { wsUrl: url } = await startCoordinator(t);
  const sent: string[] = [];
  const listening = losingAnswerTo((message) => sent.push(message) < 0);
  const ann = await startClient(t, { url });
  await ann.migrate(create('a')).settled;
  const ben = await startClient(t, { url, ...listening });
  await synced(ben);
  await ben.migrate(create('a')).settled;
  await ben.transact((tx) => tx.table('a').set([1], { x: 1 })).settled;
  assert.equal(sent.filter((message) => message.includes('get_snapshot')).length, 1);
  assert.deepEqual(ben.migrations, ann.migrations);
});
