/** Several stores of one database, as several coordinators have them. */

import assert from 'node:assert/strict';
import { after, describe, type TestContext, test } from 'node:test';
import type { KVStore, Storage } from '../../../src/storage/kv-store.ts';
import { parsePostgresUrl } from '../../../src/storage/postgres/address.ts';
import { createConnections } from '../../../src/storage/postgres/connections.ts';
import { freePort } from '../../support/free-port.ts';
import { openPostgres, startPostgres } from '../../support/postgres.ts';
import { startPostgresProxy } from '../../support/postgres-proxy.ts';

const postgres = await startPostgres();
after(() => postgres.stop());

const COUNTER = Buffer.from('counter');

async function openNode(t: TestContext, url: string): Promise<KVStore> {
  return (await openNodeStorage(t, url)).open('shared');
}

async function openNodeStorage(t: TestContext, url: string): Promise<Storage> {
  const storage = await openPostgres(url);
  t.after(() => storage.close());
  return storage;
}

/** Another node commits, and dies before it has told anybody. */
const commitUntold = (schema: string): Promise<void> =>
  postgres.query(`UPDATE ${schema}.databases SET version = version + 1`);

const heardBy = (store: KVStore): Promise<void> =>
  new Promise((resolve) => {
    store.onCommit(() => resolve());
  });

async function count(store: KVStore): Promise<number> {
  const [value] = await store.getMany([COUNTER]);
  return Number(value === undefined ? 0 : Buffer.from(value).toString());
}

function increment(store: KVStore): Promise<number> {
  return store.exclusive(async (transaction) => {
    const [value] = await transaction.getMany([COUNTER]);
    const next = Number(value === undefined ? 0 : Buffer.from(value).toString()) + 1;
    transaction.put(COUNTER, Buffer.from(String(next)));
    return next;
  });
}

describe('several nodes on one database', () => {
  test('write one after the other: no increment is lost, none is counted twice', async (t) => {
    const url = postgres.url();
    const nodes = [await openNode(t, url), await openNode(t, url), await openNode(t, url)];
    const results = await Promise.all(
      nodes.flatMap((node) => Array.from({ length: 40 }, () => increment(node))),
    );
    assert.equal(new Set(results).size, 120);
    for (const node of nodes) assert.equal(await count(node), 120);
  });

  test('open a new database at once: all of them find it whole', async (t) => {
    const url = postgres.url();
    const nodes = await Promise.all([url, url, url].map((same) => openNodeStorage(t, same)));
    for (let database = 0; database < 20; database++) {
      const stores = await Promise.all(nodes.map((node) => node.open(`new-${database}`)));
      for (const store of stores) assert.equal(await count(store), 0);
    }
  });

  test('hear of what another has committed', async (t) => {
    const url = postgres.url();
    const [one, other] = [await openNode(t, url), await openNode(t, url)];
    const heard = heardBy(other);
    await increment(one);
    await heard;
    assert.equal(await count(other), 1);
  });

  test('find what nobody was told of when they ask', async (t) => {
    const schema = 'untold';
    const store = await openNode(t, postgres.url({ schema }));
    const heard = heardBy(store);
    await commitUntold(schema);
    await heard;
  });

  test('look again after a commit of their own, when others have written before it', async (t) => {
    const schema = 'overtaken';
    const store = await openNode(t, postgres.url({ schema }));
    let calls = 0;
    store.onCommit(() => calls++);
    await increment(store);
    assert.equal(calls, 0, 'its own commits need no look');
    await commitUntold(schema);
    await increment(store);
    assert.equal(calls, 1);
  });

  test('hear of what comes after commits that were lost, as when a replica has taken over', async (t) => {
    const schema = 'lost';
    const url = postgres.url({ schema, application_name: 'lost' });
    const [one, other] = [await openNode(t, url), await openNode(t, url)];
    for (let i = 0; i < 3; i++) {
      const heard = heardBy(other);
      await increment(one);
      await heard;
    }
    const heard = heardBy(other);
    await postgres.query(`UPDATE ${schema}.databases SET version = version - 3`);
    await postgres.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lost'",
    );
    await heard;
    const heardAgain = heardBy(other);
    await increment(one);
    await heardAgain;
  });

  test('hear later of what was written before they listened', async (t) => {
    const url = postgres.url();
    const [writing, reading] = [await openNodeStorage(t, url), await openNodeStorage(t, url)];
    const [one, other] = [await writing.open('shared'), await reading.open('shared')];
    const [oneAfter, otherAfter] = [await writing.open('after'), await reading.open('after')];
    const wordHasCome = heardBy(otherAfter);
    await increment(one);
    // Word comes in order: of the first database before that of the second.
    await increment(oneAfter);
    await wordHasCome;
    await heardBy(other);
  });

  test('who could not look is called again', async (t) => {
    const url = postgres.url();
    const [one, other] = [await openNode(t, url), await openNode(t, url)];
    let calls = 0;
    const again = new Promise<void>((resolve) => {
      other.onCommit(() => {
        calls++;
        if (calls === 1) return Promise.resolve(false);
        resolve();
        return Promise.resolve(true);
      });
    });
    await increment(one);
    await again;
  });
});

describe('one node', () => {
  test('reads and writes while slow clients hold as many views as there can be', async (t) => {
    const store = await openNode(t, postgres.url());
    await increment(store);
    const views = await Promise.all(Array.from({ length: 10 }, () => store.view()));
    assert.equal(await increment(store), 2);
    assert.equal(await count(store), 2);
    for await (const entries of store.iterate({ gte: COUNTER, lt: Buffer.from('d') })) {
      assert.equal(entries.length, 1);
    }
    await Promise.all(views.map((view) => view.close()));
  });

  test('stays with its host when all connections to it are in use', async (t) => {
    const elsewhere = `:${postgres.port},127.0.0.1:${await freePort()}/`;
    const connections = createConnections({
      address: parsePostgresUrl(
        postgres.url({ connect_timeout: '1' }).replace(`:${postgres.port}/`, elsewhere),
      ),
      connectionsMax: 1,
      onLost: () => undefined,
    });
    t.after(() => connections.close());
    const view = await connections.toView();
    await assert.rejects(connections.toView());
    view.release();
    (await connections.toWrite()).release();
  });

  test('reads what it asks for and no more, from a table that has just begun to grow', async (t) => {
    const schema = 'growing';
    const storage = await openNodeStorage(t, postgres.url({ schema }));
    const store = await storage.open('shared');
    const keys = Array.from({ length: 4000 }, (_, i) => Buffer.from(`k${1000 + i}`));
    // What is planned for a table without statistics is planned now.
    for (let i = 0; i < 6; i++) await store.getMany(keys.slice(0, 100));
    await store.exclusive(async (transaction) => {
      for (const key of keys) transaction.put(key, Buffer.alloc(100));
    });
    let read = 0;
    for (let from = 0; from < 3000; from += 100) {
      const found = await store.getMany(keys.slice(from, from + 100));
      const range = { gte: keys[from], lt: Buffer.from('l'), limit: 100 };
      for await (const entries of store.iterate(range)) read += entries.length;
      read += found.length;
    }
    assert.equal(read, 6000);
    // Its backends tell what they have counted when they end.
    await storage.close();
    const [counts] = await postgres.rows(
      `SELECT (SELECT idx_tup_read FROM pg_stat_user_indexes
        WHERE schemaname = '${schema}' AND relname = 'entries')
        + (SELECT seq_tup_read FROM pg_stat_user_tables
        WHERE schemaname = '${schema}' AND relname = 'entries') AS touched`,
    );
    assert.ok(
      Number(counts?.touched) <= 2 * read,
      `${counts?.touched} rows were touched for ${read}`,
    );
  });

  test('writes nothing without its lock, and goes on when that is there again', async (t) => {
    const schema = 'removed';
    const store = await openNode(t, postgres.url({ schema }));
    await increment(store);
    await postgres.query(`ALTER TABLE ${schema}.databases RENAME TO hidden`);
    // More often than there are connections: none is left behind in a transaction that failed.
    for (let tries = 0; tries < 12; tries++) {
      await assert.rejects(increment(store), { code: 'STORE_UNAVAILABLE' });
    }
    await postgres.query(`ALTER TABLE ${schema}.hidden RENAME TO databases`);
    assert.equal(await increment(store), 2);
    await postgres.query(`DELETE FROM ${schema}.databases`);
    await assert.rejects(increment(store), { code: 'STORE_UNAVAILABLE' });
    assert.equal(await count(store), 2);
  });
});

describe('when connections die', () => {
  test('backends that are terminated at random lose and repeat nothing', async (t) => {
    const url = postgres.url({ application_name: 'victim' });
    const nodes = [await openNode(t, url), await openNode(t, url)];
    const acknowledged: number[] = [];
    let refused = 0;
    const tryOnce = (node: KVStore) =>
      increment(node).then(
        (value) => void acknowledged.push(value),
        (error) => {
          assert.equal(error.code, 'STORE_UNAVAILABLE');
          assert.ok(error.retryAfterMs > 0);
          refused++;
        },
      );
    for (let round = 0; round < 40; round++) {
      const tries = nodes.flatMap((node) => [tryOnce(node), tryOnce(node), tryOnce(node)]);
      await postgres.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'",
      );
      await Promise.all(tries);
    }
    // Each value was given once, and whatever is more than was acknowledged was refused as unknown.
    assert.equal(new Set(acknowledged).size, acknowledged.length);
    const stored = await increment(await openNode(t, url));
    assert.ok(stored - 1 >= acknowledged.length);
    assert.ok(stored - 1 <= acknowledged.length + refused);
  });

  test('an answer to COMMIT that was lost is found out: the commit is there, once', async (t) => {
    const proxy = await startPostgresProxy(t, postgres);
    const direct = postgres.url();
    const storage = await openNodeStorage(t, proxy.through(direct));
    const store = await storage.open('shared');
    await increment(store);
    for (let round = 2; round <= 6; round++) {
      proxy.cutBefore = /COMMIT/;
      assert.equal(await increment(store), round);
    }
    assert.equal(proxy.cuts, 5);
    assert.deepEqual(storage.health?.figures().transactions, { retries: 0, resolved: 5 });
    assert.equal(await count(await openNode(t, direct)), 6);
  });

  test('one that is found dead is enough: those made before it are not tried one by one', async (t) => {
    const proxy = await startPostgresProxy(t, postgres);
    const timeouts = { query_timeout: '2000', idle_in_transaction_session_timeout: '1000' };
    const store = await openNode(t, proxy.through(postgres.url(timeouts)));
    await Promise.all(Array.from({ length: 5 }, () => count(store)));
    proxy.pause();
    await assert.rejects(count(store), { code: 'STORE_UNAVAILABLE' });
    proxy.resumeAnew();
    assert.equal(await count(store), 0);
  });

  test('a writer that stalls holds the others up only so long, and then cannot commit', async (t) => {
    const url = postgres.url({ application_name: 'stalling' });
    const storage = await openNodeStorage(t, url);
    const [stalled, other] = [await storage.open('shared'), await openNode(t, url)];
    await increment(other);
    let tries = 0;
    const late = stalled.exclusive(async (transaction) => {
      tries++;
      const [value] = await transaction.getMany([COUNTER]);
      if (tries === 1) {
        // As PostgreSQL does by itself after idle_in_transaction_session_timeout.
        await postgres.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stalling' " +
            "AND state = 'idle in transaction'",
        );
        await increment(other);
      }
      transaction.put(COUNTER, Buffer.from(`${Buffer.from(value ?? []).toString()} late`));
    });
    await late;
    // Its first try saw 1 and was not to be had; what counts is the one that saw what came meanwhile.
    const [value] = await other.getMany([COUNTER]);
    assert.equal(Buffer.from(value ?? []).toString(), '2 late');
    assert.equal(tries, 2);
    assert.deepEqual(storage.health?.figures().transactions, { retries: 1, resolved: 1 });
  });
});
