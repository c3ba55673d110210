/**
 * What has to be true of a simulation: by a plain model of the merge, and by holding against each
 * other the log, the snapshot, and what each device has.
 */

import assert from 'node:assert/strict';
import { compareHlc, HLC_MIN, type HlcText } from '../../src/clock/hlc.ts';
import { hlcSite } from '../../src/clock/site-id.ts';
import type { SyncManager } from '../../src/engine/sync-manager.ts';
import type { WireChange, WireChangeSet } from '../../src/protocol/schemas.ts';
import { withoutNulls } from '../../src/testing/contents.ts';
import { verifyDatabase } from '../../src/verify/verify.ts';
import { openEngine, readAll, takeSnapshot } from '../support/engine.ts';
import { Replica } from '../support/replica.ts';
import { createTestWorld } from '../support/world.ts';
import { assertSame } from './assert-same.ts';
import type { Committed } from './committed.ts';
import type { Loop } from './loop.ts';
import type { Participant } from './participant.ts';
import { type Rules, replacedOf, storedOf } from './rules.ts';
import { isPlain } from './table-names.ts';
import type { Look, TableOracle } from './table-oracle.ts';

/** So far ahead of all clocks that none of them is in the way of looking. */
const AHEAD_MS = 2 * 60 * 60_000;
const WITNESSES_MAX = 8;

/** Somebody who has seen a state of the store, and asks again at the end. */
interface Witness {
  databaseId: string;
  position: HlcText;
  replica: Replica;
}

export interface OracleOptions {
  loop: Loop;
  committed: Committed;
  devices: readonly Participant[];
  rules: Rules;
  /** Looks at the tables that come and go, in a run in which some do. */
  tables?: TableOracle | undefined;
}

export class Oracle {
  readonly #loop: Loop;
  readonly #committed: Committed;
  readonly #devices: readonly Participant[];
  readonly #rules: Rules;
  readonly #tables: TableOracle | undefined;
  readonly #witnesses: Witness[] = [];

  constructor({ loop, committed, devices, rules, tables }: OracleOptions) {
    this.#loop = loop;
    this.#committed = committed;
    this.#devices = devices;
    this.#rules = rules;
    this.#tables = tables;
  }

  /** Looks at what is committed now: what was acknowledged is there. And remembers it. */
  async witness(databaseId: string): Promise<void> {
    const manager = await this.#open(databaseId);
    const replica = new Replica();
    replica.load(await takeSnapshot(manager));
    const own = this.#ownOf(databaseId);
    const everything = this.#expected(databaseId, manager);
    for (const { set, isAcknowledged } of own) {
      if (!isAcknowledged) continue;
      for (const change of this.#stored(set, manager).changes) {
        if (change.type === 'delete') {
          assert.ok(
            !replica.holdsOlder(change),
            `an acknowledged deletion is lost: ${show(change)}`,
          );
        } else if (!replica.knows(change)) {
          // It was deleted since, and the deletion has expired.
          const gone = everything.isDeletedAfter(change);
          assert.ok(gone, `an acknowledged change is lost: ${show(change)}`);
        }
      }
    }
    await this.#tables?.witness(this.#look(databaseId, manager));
    if (this.#witnesses.length < WITNESSES_MAX) {
      this.#witnesses.push({ databaseId, position: manager.position, replica });
    }
  }

  /** Whether `devices` have everything, and have been answered everything. */
  async isSettled(devices = this.#devices): Promise<boolean> {
    if (!devices.every(({ isSettled }) => isSettled)) return false;
    for (const databaseId of this.#committed.databaseIds()) {
      const manager = await this.#open(databaseId);
      if (manager.position === undefined) return false;
      for (const device of devices) {
        const isOfIt = device.databaseId === databaseId;
        if (isOfIt && !(await hasEverything(device, manager))) return false;
      }
    }
    return true;
  }

  async check(): Promise<void> {
    for (const databaseId of this.#committed.databaseIds()) {
      const manager = await this.#open(databaseId);
      const fromNothing = await readAll(manager);
      const expected = this.#expected(databaseId, manager);
      const snapshot = new Replica();
      snapshot.load(await takeSnapshot(manager));
      assertSame(plain(snapshot), expected.contents(), 'the snapshot');
      await this.#checkDeltas(databaseId, manager, fromNothing, expected);
      this.#checkDevices(databaseId, expected);
      this.#checkAuthors(databaseId, manager);
      await this.#checkStore(databaseId);
      await this.#tables?.check(this.#look(databaseId, manager));
    }
  }

  /** Whatever has happened to it, a store is one that the engine could have made. */
  async #checkStore(databaseId: string): Promise<void> {
    for await (const { code, where, what } of verifyDatabase(this.#committed.copy(databaseId))) {
      assert.fail(`the store of ${databaseId}: ${code} ${where}: ${what}`);
    }
  }

  #ownOf(databaseId: string) {
    return this.#devices
      .filter((device) => device.databaseId === databaseId)
      .flatMap(({ own }) => own);
  }

  #stored(set: WireChangeSet, { identity }: SyncManager): WireChangeSet {
    return plainOf({ ...set, changes: storedOf(set, this.#rules, identity.siteId) });
  }

  #look(databaseId: string, manager: SyncManager): Look {
    const reader = this.#committed.copy(databaseId);
    return { databaseId, manager, reader };
  }

  async #open(databaseId: string): Promise<SyncManager> {
    const { manager } = await openEngine({
      store: this.#committed.copy(databaseId),
      world: createTestWorld(this.#loop.nowMs + AHEAD_MS),
    });
    return manager;
  }

  /** By the naive model: whatever was written and allowed. */
  #expected(databaseId: string, manager: SyncManager): Replica {
    const expected = new Replica();
    expected.apply(this.#ownOf(databaseId).map(({ set }) => this.#stored(set, manager)));
    return expected;
  }

  /**
   * What is refused or stored as something else concerns nobody but its author: all that all are told is
   * the devices', or was put in the place of something of theirs.
   */
  #checkAuthors(databaseId: string, { identity }: SyncManager): void {
    const sets = this.#ownOf(databaseId).map(({ set }) => set);
    const stored = sets.flatMap((set) => storedOf(set, this.#rules, identity.siteId));
    const answers = new Set(stored.map(toSaying));
    const replaced = new Set(
      sets.flatMap((set) => replacedOf(set, this.#rules).map(({ hlc }) => hlc)),
    );
    for (const { changes } of this.#committed.logged(databaseId)) {
      for (const change of changes) {
        assert.ok(!replaced.has(change.hlc), `all are told what no hook let pass: ${show(change)}`);
        if (hlcSite(change.hlc) !== identity.siteIdText) continue;
        const isAnswer = answers.has(toSaying(change));
        assert.ok(isAnswer, `a change of the coordinator’s own: ${show(change)}`);
      }
    }
  }

  async #checkDeltas(
    databaseId: string,
    manager: SyncManager,
    fromNothing: readonly WireChangeSet[],
    expected: Replica,
  ): Promise<void> {
    const delta = new Replica();
    delta.apply(fromNothing);
    assertSame(plain(delta), expected.contents(), 'the log from its beginning');
    for (const witness of this.#witnesses) {
      if (witness.databaseId !== databaseId) continue;
      const changeSets = await readAll(manager, witness.position).catch((error) => {
        assert.equal(error.code, 'SNAPSHOT_REQUIRED');
      });
      if (changeSets === undefined) continue;
      witness.replica.apply(changeSets);
      const since = `the log from ${witness.position}`;
      assertSame(plain(witness.replica), expected.contents(), since);
    }
  }

  #checkDevices(databaseId: string, expected: Replica): void {
    const devices = this.#devices.filter((device) => device.databaseId === databaseId);
    const migrations = new Set(
      devices.flatMap(({ own }) =>
        own.flatMap(({ set }) =>
          plainOf(set).schemaMigrations.map((it) => `${it.schema}.${it.table} ${it.schemaVersion}`),
        ),
      ),
    );
    for (const device of devices) {
      const name = `device ${device.siteId}`;
      device.check?.();
      const visible = (replica: Participant['replica']) =>
        Object.fromEntries(
          Object.entries(withoutNulls(plain(replica))).filter(
            ([key]) => !device.isRestricted || JSON.parse(key)[1] !== 'secret',
          ),
        );
      assertSame(visible(device.replica), visible(expected), name);
      const heard = [...device.migrations].filter((it) => isPlain(it.split(/[. ]/)[1] ?? ''));
      assert.deepEqual(heard.sort(), [...migrations].sort(), `${name}: DDL`);
    }
  }
}

/** What is in the tables that this oracle knows everything of. */
function plain(replica: Participant['replica']): ReturnType<Replica['contents']> {
  const rows = Object.entries(replica.contents());
  return Object.fromEntries(rows.filter(([key]) => isPlain(JSON.parse(key)[1])));
}

function plainOf(set: WireChangeSet): WireChangeSet {
  return {
    ...set,
    changes: set.changes.filter(({ table }) => isPlain(table)),
    schemaMigrations: set.schemaMigrations.filter(({ table }) => isPlain(table)),
  };
}

/**
 * Whether nothing is left to be told to a device. Its watermark may be earlier than the end of the
 * log: that of a snapshot is no later than the clock, to which the coordinator may have added a mark.
 */
async function hasEverything(
  { watermark = HLC_MIN }: Participant,
  manager: SyncManager,
): Promise<boolean> {
  const { position } = manager;
  if (isZero(position) || compareHlc(watermark, position) >= 0) return true;
  const { position: told } = await manager.log
    .cursorFor(watermark)
    .catch(() => ({ position: HLC_MIN }));
  return compareHlc(told, position) >= 0;
}

function isZero(position: HlcText): boolean {
  return position.startsWith('AAAAAAAAAA');
}

/** All of it but its table, which may be renamed. */
function toSaying(change: WireChange): string {
  const { type, hlc, pk } = change;
  const cell = change.type === 'column' ? [change.column, change.value] : [];
  return JSON.stringify([type, hlc, pk, ...cell]);
}

function show(change: WireChange): string {
  return JSON.stringify(change);
}
