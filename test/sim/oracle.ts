/**
 * What has to be true of a simulation: by a plain model of the merge, and by holding against each
 * other the log, the snapshot, and what each device has.
 */

import assert from 'node:assert/strict';
import { compareHlc, HLC_MIN, type HlcText } from '../../src/clock/hlc.ts';
import { textToSiteId } from '../../src/clock/site-id.ts';
import type { SyncManager } from '../../src/engine/sync-manager.ts';
import { verifyDatabase } from '../../src/engine/verify/verify.ts';
import { Replica } from '../../src/testing/replica.ts';
import type { WireChange, WireChangeSet } from '../../src/wire/schemas.ts';
import { openEngine, readAll, takeSnapshot } from '../support/engine.ts';
import { createTestWorld } from '../support/world.ts';
import type { Committed } from './committed.ts';
import type { SimDevice } from './device.ts';
import type { Loop } from './loop.ts';
import { mayBeStored, type Rules } from './rules.ts';

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
  devices: readonly SimDevice[];
  rules: Rules;
}

export class Oracle {
  readonly #loop: Loop;
  readonly #committed: Committed;
  readonly #devices: readonly SimDevice[];
  readonly #rules: Rules;
  readonly #witnesses: Witness[] = [];

  constructor({ loop, committed, devices, rules }: OracleOptions) {
    this.#loop = loop;
    this.#committed = committed;
    this.#devices = devices;
    this.#rules = rules;
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
      for (const change of this.#stored(set).changes) {
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
    if (this.#witnesses.length < WITNESSES_MAX) {
      this.#witnesses.push({ databaseId, position: manager.position, replica });
    }
  }

  /** Whether `devices` have everything, and have been answered everything. */
  async isSettled(devices = this.#devices): Promise<boolean> {
    if (!devices.every(({ isSettled }) => isSettled)) return false;
    for (const databaseId of this.#committed.databaseIds()) {
      const { position } = await this.#open(databaseId);
      if (position === undefined) return false;
      for (const device of devices) {
        if (device.databaseId !== databaseId) continue;
        if (compareHlc(device.watermark ?? HLC_MIN, position) < 0 && !isZero(position))
          return false;
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
      assertSame(snapshot.contents(), expected.contents(), 'the snapshot');
      await this.#checkDeltas(databaseId, manager, fromNothing, expected);
      this.#checkDevices(databaseId, expected);
      await this.#checkStore(databaseId);
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

  #stored(set: WireChangeSet): WireChangeSet {
    return { ...set, changes: mayBeStored(set, this.#rules) };
  }

  async #open(databaseId: string): Promise<SyncManager> {
    const { manager } = await openEngine({
      store: this.#committed.copy(databaseId),
      world: createTestWorld(this.#loop.nowMs + AHEAD_MS),
    });
    return manager;
  }

  /** By the naive model: whatever was written and allowed, and what the coordinator answered. */
  #expected(databaseId: string, manager: SyncManager): Replica {
    const expected = new Replica();
    expected.apply(this.#ownOf(databaseId).map(({ set }) => this.#stored(set)));
    const coordinator = Buffer.from(textToSiteId(manager.identity.siteIdText));
    const isAnswer = ({ hlc }: WireChange) =>
      Buffer.from(hlc, 'base64').subarray(10, 26).equals(coordinator);
    const logged = this.#committed.logged(databaseId);
    expected.apply(logged.map((set) => ({ ...set, changes: set.changes.filter(isAnswer) })));
    return expected;
  }

  async #checkDeltas(
    databaseId: string,
    manager: SyncManager,
    fromNothing: readonly WireChangeSet[],
    expected: Replica,
  ): Promise<void> {
    const delta = new Replica();
    delta.apply(fromNothing);
    assertSame(delta.contents(), expected.contents(), 'the log from its beginning');
    for (const witness of this.#witnesses) {
      if (witness.databaseId !== databaseId) continue;
      const changeSets = await readAll(manager, witness.position).catch((error) => {
        assert.equal(error.code, 'SNAPSHOT_REQUIRED');
      });
      if (changeSets === undefined) continue;
      witness.replica.apply(changeSets);
      const since = `the log from ${witness.position}`;
      assertSame(witness.replica.contents(), expected.contents(), since);
    }
  }

  #checkDevices(databaseId: string, expected: Replica): void {
    const devices = this.#devices.filter((device) => device.databaseId === databaseId);
    const migrations = new Set(
      devices.flatMap(({ own }) =>
        own.flatMap(({ set }) =>
          set.schemaMigrations.map((it) => `${it.schema}.${it.table} ${it.schemaVersion}`),
        ),
      ),
    );
    for (const device of devices) {
      const name = `device ${device.siteId}`;
      const visible = (replica: Replica) =>
        Object.fromEntries(
          Object.entries(replica.contents()).filter(
            ([key]) => !device.isRestricted || JSON.parse(key)[1] !== 'secret',
          ),
        );
      assertSame(visible(device.replica), visible(expected), name);
      assert.deepEqual([...device.migrations].sort(), [...migrations].sort(), `${name}: DDL`);
    }
  }
}

function isZero(position: HlcText): boolean {
  return position.startsWith('AAAAAAAAAA');
}

function show(change: WireChange): string {
  return JSON.stringify(change);
}

type Contents = ReturnType<Replica['contents']>;

/** Equal, or the cells that differ. */
function assertSame(actual: Contents, expected: Contents, what: string): void {
  const differences: string[] = [];
  for (const key of new Set([...Object.keys(actual), ...Object.keys(expected)])) {
    const [is, should] = [actual[key] ?? {}, expected[key] ?? {}];
    for (const column of new Set([...Object.keys(is), ...Object.keys(should)])) {
      if (is[column] === should[column]) continue;
      differences.push(`${key} ${column}: ${is[column]}, not ${should[column]}`);
    }
  }
  const some = differences.slice(0, 6).join('; ');
  assert.ok(differences.length === 0, `${what}: ${differences.length} cells differ: ${some}`);
}
