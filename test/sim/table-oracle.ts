/**
 * What has to be true of tables that come and go, by holding against each other what devices, the
 * snapshot and the log make of them, each read as today's client reads it.
 *
 * Where one device alone changes tables everybody ends with the same, but for the rows that
 * `ClientCatalog.strayed` tells of. Where all of them do, some orders of arrival matter, and a device
 * may have carried out DDL that the coordinator sets aside: then whoever begins from nothing must
 * be able to, and everything that is there must come to it by either way.
 */

import assert from 'node:assert/strict';
import { compareHlc, type HlcText } from '../../src/clock/hlc.ts';
import type { SyncManager } from '../../src/engine/sync-manager.ts';
import type { WireChange, WireChangeSet, WireMigration } from '../../src/protocol/schemas.ts';
import { pkIdentity } from '../../src/protocol/values.ts';
import type { KVReader } from '../../src/storage/kv-store.ts';
import { withoutNulls } from '../../src/testing/contents.ts';
import { takeSnapshot } from '../support/engine.ts';
import { assertSame } from './assert-same.ts';
import { ClientCatalog } from './client-catalog.ts';
import type { Participant, TableView } from './participant.ts';
import type { Random } from './random.ts';
import { leavingNothing, type Rules, storedOf } from './rules.ts';
import { liveTables, readPages, storedRows } from './store-look.ts';
import { TableExpectation } from './table-expectation.ts';
import { isManaged, isMixed } from './table-names.ts';

const WITNESSES_MAX = 8;

/** One database as it stands, to be looked at. */
export interface Look {
  databaseId: string;
  manager: SyncManager;
  reader: KVReader;
}

/** Somebody who began from a snapshot, and wrote nothing. */
interface Witness {
  databaseId: string;
  position: HlcText;
  catalog: ClientCatalog;
}

export interface TableOracleOptions {
  devices: readonly Participant[];
  rules: Rules;
  random: Random;
  /** Whether one device alone changes tables. */
  isOnlyMaker: boolean;
  /** Whether others make its tables again: today's client loses these by a drop that comes late. */
  isRepeated: boolean;
  /** Whether devices are held against a new one also where several of them change tables. */
  isCompared: boolean;
}

export class TableOracle {
  readonly #options: TableOracleOptions;
  readonly #witnesses: Witness[] = [];

  constructor(options: TableOracleOptions) {
    this.#options = options;
  }

  /** At any moment: a device that begins now meets nothing that it cannot carry out. */
  async witness(look: Look): Promise<void> {
    const catalog = await this.#checkFresh(look);
    await this.#checkAcknowledged(look);
    if (this.#witnesses.length === WITNESSES_MAX) return;
    const { databaseId, manager } = look;
    this.#witnesses.push({ databaseId, position: manager.position, catalog });
  }

  /** In the end, when everybody has been answered everything. */
  async check(look: Look): Promise<void> {
    const fresh = await this.#checkFresh(look);
    await this.#checkAcknowledged(look);
    this.#checkExpected(look, fresh);
    // What is below is promised only where nobody changes tables without having heard of the others.
    const { isOnlyMaker, isRepeated, isCompared } = this.#options;
    if (!isOnlyMaker && !isCompared) return;
    if (!isRepeated) await this.#checkWitnesses(look, fresh);
    for (const device of this.#devicesOf(look.databaseId)) this.#checkDevice(device, fresh);
  }

  #devicesOf(databaseId: string): Participant[] {
    return this.#options.devices.filter((device) => device.databaseId === databaseId);
  }

  #create(name: string): ClientCatalog {
    return new ClientCatalog({ name, mayCollide: false, mayLackDdl: !this.#options.isOnlyMaker });
  }

  /** From the snapshot, and from the log from its beginning, comes the same: the tables that there are. */
  async #checkFresh({ manager, reader }: Look): Promise<ClientCatalog> {
    const fresh = this.#create('a device that begins with a snapshot');
    fresh.bootstrap(await takeSnapshot(manager));
    // A drained device may be asked for a rename before it has pushed what made the table.
    const live = (await liveTables(reader, this.#options.isOnlyMaker)).filter(
      (table) => isManaged(table) && (this.#options.isOnlyMaker || fresh.hasHeardOf(table)),
    );
    assert.deepEqual(fresh.tables(), live, 'tables of the snapshot');
    const pages = await readPages(manager, undefined, Number.MAX_SAFE_INTEGER);
    const name = 'the log from its beginning';
    this.#checkRead(pages, { name, catalog: this.#create(name), fresh });
    return fresh;
  }

  #checkRead(
    pages: readonly WireChangeSet[][],
    { name, catalog, fresh }: { name: string; catalog: ClientCatalog; fresh: ClientCatalog },
  ): void {
    for (const page of pages) catalog.take(page);
    assert.deepEqual(catalog.tables(), fresh.tables(), `${name}: tables`);
    assertNothingHeld(catalog, catalog.held, name);
    assertSame(catalog.contents(), fresh.contents(), name);
  }

  async #checkWitnesses({ databaseId, manager }: Look, fresh: ClientCatalog): Promise<void> {
    const { random } = this.#options;
    const small = () => random.pick([200, 1000, 1_000_000]);
    const inPages = await readPages(manager, undefined, small());
    const name = 'the log in pages';
    this.#checkRead(inPages, { name, catalog: this.#create(name), fresh });
    for (const { position, catalog, ...witness } of this.#witnesses) {
      if (witness.databaseId !== databaseId) continue;
      const pages = await readPages(manager, position, small()).catch((error) => {
        assert.equal(error.code, 'SNAPSHOT_REQUIRED');
      });
      const since = `the log from ${position}`;
      if (pages !== undefined) this.#checkRead(pages, { name: since, catalog, fresh });
    }
  }

  #checkDevice(device: Participant, fresh: ClientCatalog): void {
    const catalog = device.tables?.catalog;
    if (catalog === undefined) return;
    const name = `device ${device.siteId}`;
    assert.deepEqual(catalog.tables(), fresh.tables(), `${name}: tables`);
    const strayed = new Set(catalog.strayed);
    // What is pushed back comes under the name that its table has now, with the HLC of long ago, when
    // that name may have been another table's. It is told to all but its author.
    const areRelayed = this.#devicesOf(device.databaseId).some(({ relays }) => relays);
    if (areRelayed) {
      const own = device.own.flatMap(({ set }) => set.changes);
      for (const { table, pk } of own) if (isManaged(table)) strayed.add(pkIdentity(pk));
    }
    // What is refused is not taken back where its table was dropped, or has not been heard of yet.
    for (const { set } of device.own) {
      for (const { table, pk } of leavingNothing(set, this.#options.rules)) {
        if (isManaged(table)) strayed.add(pkIdentity(pk));
      }
    }
    const held = catalog.held.filter(({ pk }) => !strayed.has(pkIdentity(pk)));
    assertNothingHeld(catalog, held, name);
    const rest = (contents: ReturnType<ClientCatalog['contents']>) =>
      Object.fromEntries(
        Object.entries(withoutNulls(contents)).filter(([key]) => !strayed.has(JSON.parse(key)[2])),
      );
    assertSame(rest(catalog.contents()), rest(fresh.contents()), name);
  }

  /** It is in a row, or beaten there, or older than a drop of a name that may have led there. */
  async #checkAcknowledged({ databaseId, manager, reader }: Look): Promise<void> {
    const { siteId } = manager.identity;
    const own = this.#devicesOf(databaseId).flatMap((device) => device.own);
    const drops = own.flatMap(({ set }) => dropsOf(set));
    const rows = await storedRows(reader);
    for (const { set, isAcknowledged } of own) {
      if (!isAcknowledged) continue;
      for (const change of storedOf(set, this.#options.rules, siteId)) {
        if (!isManaged(change.table)) continue;
        const { hlc, pk, type } = change;
        const isThere = rows.get(pkIdentity(pk))?.some(({ cells, tombstone }) => {
          if (tombstone !== undefined && compareHlc(tombstone.hlc, hlc) >= 0) return true;
          const cell = type === 'column' ? cells.get(JSON.stringify(change.column)) : undefined;
          return cell !== undefined && compareHlc(cell.hlc, hlc) >= 0;
        });
        const isKnown = isThere || drops.some((drop) => mayHaveTaken(drop, change));
        assert.ok(isKnown, `an acknowledged change is lost: ${JSON.stringify(change)}`);
      }
    }
  }

  #checkExpected({ databaseId, manager }: Look, fresh: ClientCatalog): void {
    const { rules, isOnlyMaker } = this.#options;
    const sets = this.#devicesOf(databaseId).flatMap(({ own }) => own.map(({ set }) => set));
    const { siteId } = manager.identity;
    const said = sets.map((set) => ({ ...set, changes: storedOf(set, rules, siteId) }));
    const expected = new TableExpectation(said, isOnlyMaker);
    const spokenOf = Object.entries(fresh.contents()).filter(([key]) =>
      expected.speaksOf(JSON.parse(key)[1]),
    );
    assertSame(Object.fromEntries(spokenOf), expected.contents(), 'what was said');
  }
}

function dropsOf({ schemaMigrations }: WireChangeSet): WireMigration[] {
  return schemaMigrations.filter(({ type }) => type === 'drop_table');
}

/** Names that renames connect may have led to the table that was dropped. */
function mayHaveTaken(drop: WireMigration, { table, hlc }: WireChange): boolean {
  return familyOf(drop.table) === familyOf(table) && compareHlc(drop.hlc, hlc) > 0;
}

function familyOf(table: string): string {
  return isMixed(table) ? 'mixed' : table;
}

function assertNothingHeld(catalog: TableView, held: readonly WireChange[], what: string): void {
  const kept = held.find(({ table }) => catalog.has(table));
  assert.equal(kept, undefined, `${what} keeps aside what is for a table that is there`);
}
