/**
 * What sites hold that was refused, in tables that anybody makes, renames and drops: each history is run twice,
 * with what is refused and without, and nobody may see a difference.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { hlcWallTimeMs } from '../../../src/clock/hlc.ts';
import { Sender } from '../../../src/engine/merge/foreign-authors.ts';
import type { WireChangeSet } from '../../../src/protocol/schemas.ts';
import { withoutNulls } from '../../../src/testing/contents.ts';
import { Device } from '../../../src/testing/device.ts';
import { verifyDatabase } from '../../../src/verify/verify.ts';
import { ClientCatalog } from '../../sim/client-catalog.ts';
import { openEngine, readAll, type TestEngine, takeSnapshot } from '../../support/engine.ts';
import { holdsAsync } from '../../support/runs.ts';

const START_MS = 1_700_000_000_000;
/** Those that the catalog of a client looks after. */
const NAMES = ['a', 'b', 'c'];
const SITES = [1, 2, 3];

const step = fc.record({
  device: fc.nat({ max: SITES.length - 1 }),
  kind: fc.constantFrom('write', 'write', 'refused', 'refused', 'ddl', 'sync', 'compact', 'anew'),
  /** Which of its tables, and of the names that are free, and what is done to it. */
  table: fc.nat({ max: 2 }),
  free: fc.nat({ max: 2 }),
  ddl: fc.constantFrom('create', 'rename', 'rename', 'drop'),
  pk: fc.integer({ min: 1, max: 3 }),
  /** Without one the row is deleted. */
  column: fc.constantFrom('x', 'y', undefined),
  value: fc.nat({ max: 3 }),
  /** By how much its clock goes on, beyond all that it has heard. */
  atMs: fc.nat({ max: 8 }),
  /** Whether it is sent at once. */
  isSent: fc.boolean(),
  /** Whether tables are changed without having heard of what others have done. */
  isUnheard: fc.boolean(),
});
type Contents = Record<string, Record<string, unknown>>;
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/** A device, and what it has yet to send. */
class Client {
  readonly device: Device;
  readonly #engine: TestEngine;
  #catalog = newCatalog();
  #since: string | undefined;
  #outbox: { set: WireChangeSet; isRefused: boolean }[] = [];
  #versions: number;

  constructor(engine: TestEngine, site: number) {
    this.#engine = engine;
    this.device = new Device(site, START_MS);
    this.#versions = site * 1000;
  }

  /** Names of tables that it made or renamed without having heard of what others did. */
  readonly unheard = new Set<string>();

  get tables(): readonly string[] {
    return this.#catalog.tables();
  }

  get isBroken(): boolean {
    return this.#catalog.isBroken;
  }

  get strayed(): ReadonlySet<string> {
    return this.#catalog.strayed;
  }

  get contents() {
    return withoutNulls(this.#catalog.contents());
  }

  do(set: WireChangeSet, isRefused: boolean): void {
    this.#catalog.write(set, set.changes);
    this.#outbox.push({ set, isRefused });
  }

  async changeTables({ ddl, table, free, isUnheard, isSent }: Step): Promise<void> {
    if (!isUnheard) await this.sync();
    const there = this.tables.at(table % Math.max(1, this.tables.length));
    const names = NAMES.filter((name) => !this.tables.includes(name));
    const name = names.at(free % Math.max(1, names.length));
    // What it makes of tables whose drop it may not have heard of is not promised to be taken back.
    if (isUnheard) for (const each of [there, name]) if (each !== undefined) this.unheard.add(each);
    const schemaVersion = ++this.#versions;
    if (ddl === 'create' && name !== undefined) {
      this.do(this.device.migrate('create_table', name, { schemaVersion }), false);
    } else if (ddl === 'drop' && there !== undefined) {
      this.do(this.device.migrate('drop_table', there, { schemaVersion }), false);
    } else if (ddl === 'rename' && there !== undefined && name !== undefined) {
      const more = { fromTable: there, schemaVersion };
      this.do(this.device.migrate('rename_table', name, more), false);
    }
    if (isSent || !isUnheard) await this.sync();
  }

  async sync(): Promise<void> {
    const { manager } = this.#engine;
    const { siteId } = this.device;
    const sender = new Sender(siteId, 'known');
    for (const { set, isRefused } of this.#outbox.splice(0)) {
      await (isRefused
        ? manager.apply([], { sender, refused: [set] })
        : manager.apply([set], { sender }));
      this.#catalog.acknowledged(set);
    }
    const sets = await readAll(manager, this.#since, { reader: siteId });
    this.#since = manager.position;
    this.#catalog.take(sets);
    for (const { changes, schemaMigrations } of sets) {
      for (const { hlc } of [...changes, ...schemaMigrations]) {
        this.device.wallTime = Math.max(this.device.wallTime, hlcWallTimeMs(hlc) + 1);
      }
    }
  }

  /** Begins with a snapshot, in the place of all that it has. */
  async beginAnew(): Promise<void> {
    await this.sync();
    const { manager } = this.#engine;
    const chunks = await takeSnapshot(manager);
    await manager.held.tellAgain(this.device.siteId);
    this.#catalog = newCatalog();
    this.#catalog.bootstrap(chunks);
    this.#since = String((chunks[0] as { hlc?: string }).hlc);
    await this.sync();
  }
}

function newCatalog(): ClientCatalog {
  return new ClientCatalog({ name: 'a device', mayCollide: true, mayLackDdl: false });
}

/** @param isRefusing whether what is refused is done at all */
async function run(history: readonly Step[], isRefusing: boolean) {
  const engine = await openEngine();
  const { manager, store } = engine;
  const clients = SITES.map((site) => new Client(engine, site));
  const [first] = clients;
  assert.ok(first !== undefined);
  for (const name of NAMES.slice(0, 2)) first.do(first.device.migrate('create_table', name), false);
  for (const client of clients) await client.sync();
  for (const each of history) {
    const client = clients[each.device];
    assert.ok(client !== undefined);
    const { device } = client;
    device.wallTime = Math.max(device.wallTime, START_MS + 10 + each.atMs);
    const { kind, pk, column, value } = each;
    if (kind === 'ddl') await client.changeTables(each);
    if (kind === 'sync') await client.sync();
    if (kind === 'anew') {
      // Past all deletions: whoever writes beneath one that it wasn't told of is told it by its session.
      for (const other of clients)
        device.wallTime = Math.max(device.wallTime, other.device.wallTime);
      device.wallTime++;
      await client.beginAnew();
    }
    if (kind === 'compact') await manager.maintain({ thorough: true });
    if (kind !== 'write' && kind !== 'refused') continue;
    const table = client.tables[each.table % Math.max(1, client.tables.length)];
    if (table === undefined) continue;
    const row = { table, pk: [pk] };
    const set = device.write(
      column === undefined ? { ...row, delete: true } : { ...row, set: { [column]: value } },
    );
    const isRefused = kind === 'refused';
    if (!isRefused || isRefusing) client.do(set, isRefused);
    if (each.isSent) await client.sync();
  }
  for (let i = 0; i < 2; i++) for (const client of clients) await client.sync();
  for await (const { code, where, what } of verifyDatabase(store)) {
    assert.fail(`${code} ${where}: ${what}`);
  }
  const newcomer = newCatalog();
  newcomer.bootstrap(await takeSnapshot(manager));
  const log = await readAll(manager, undefined, { reader: new Device(9).siteId });
  return {
    stored: newcomer.contents(),
    tables: newcomer.tables(),
    log: log.flatMap(({ changes, schemaMigrations }) => [...schemaMigrations, ...changes]),
    clients,
  };
}

test('whatever is refused, in tables that anybody changes: whoever is refused ends with what is stored, and nobody else sees it', async () => {
  const histories = fc.array(step, { maxLength: 40, size: 'max' });
  const property = fc.asyncProperty(histories, async (history) => {
    const [refusing, plain] = [await run(history, true), await run(history, false)];
    assert.deepEqual(refusing.log, plain.log, 'what others are told');
    assert.deepEqual(refusing.stored, plain.stored, 'what is stored');
    for (const [i, client] of refusing.clients.entries()) {
      const other = plain.clients[i];
      if (client.isBroken || other === undefined) continue;
      // Where nothing is refused it may differ, too: in tables that devices changed without having heard of each other.
      const isSame = (key: string, table: string) =>
        other.tables.includes(table) === plain.tables.includes(table) &&
        isDeepStrictEqual(other.contents[key], plain.stored[key]);
      const known = (of: Contents) =>
        Object.fromEntries(
          Object.entries(of).filter(([key]) => {
            const [, table, pk] = JSON.parse(key);
            return !client.strayed.has(pk) && !client.unheard.has(table) && isSame(key, table);
          }),
        );
      assert.deepEqual(known(client.contents), known(refusing.stored), client.device.siteId);
    }
  });
  await holdsAsync(property, 6);
});
