/**
 * One run: devices, a network, a coordinator and its disk, with everything that can go wrong for
 * some time; then all of it is mended, and everybody has to agree.
 */

import assert from 'node:assert/strict';
import { compareHlc, HLC_MIN, type HlcText } from '../../src/clock/hlc.ts';
import { siteIdToText, textToSiteId } from '../../src/clock/site-id.ts';
import type { SyncManager } from '../../src/engine/sync-manager.ts';
import { verifyDatabase } from '../../src/engine/verify/verify.ts';
import { Replica } from '../../src/testing/replica.ts';
import type { WireChange, WireChangeSet } from '../../src/wire/schemas.ts';
import { openEngine, readAll, takeSnapshot } from '../support/engine.ts';
import { createTestWorld } from '../support/world.ts';
import { SimDevice } from './device.ts';
import { Disk } from './disk.ts';
import { Loop } from './loop.ts';
import { Random } from './random.ts';
import { createRuleHooks, mayBeStored, type Rules } from './rules.ts';
import { SimServer } from './server.ts';

const START_MS = 1_800_000_000_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const HEALING_ROUNDS_MAX = 200;
const HEALING_STEP_MS = 300;
/** Longer than anything takes on a network that is whole, and than a slow listener's pauses. */
const PUSHES_ARRIVE_MS = 2000;

/** Somebody who has seen a state of the store, and asks again at the end. */
interface Witness {
  databaseId: string;
  position: HlcText;
  replica: Replica;
}

export interface RunStatistics {
  transactions: number;
  commits: number;
  kills: number;
  virtualMs: number;
  steps: number;
}

/** @throws if anything is not as it must be */
export async function simulate(seed: number): Promise<RunStatistics> {
  const random = new Random(seed);
  const loop = new Loop(START_MS);
  const uninstall = loop.install();
  try {
    const run = new Run(loop, random);
    await run.go();
    return run.statistics();
  } finally {
    uninstall();
  }
}

class Run {
  readonly #loop: Loop;
  readonly #random: Random;
  readonly #disk: Disk;
  readonly #server: SimServer;
  readonly #devices: SimDevice[] = [];
  readonly #rules: Rules;
  readonly #witnesses: Witness[] = [];
  #kills = 0;
  #isHealing = false;
  /** How often a device does something while everybody is brought together. */
  #healingStepMs = HEALING_STEP_MS;
  /** What went wrong in a task, where nobody was waiting for it. */
  readonly #faults: unknown[] = [];

  constructor(loop: Loop, random: Random) {
    this.#loop = loop;
    this.#random = random;
    this.#disk = new Disk(loop, random);
    this.#rules = {
      onReject: random.pick(['keep', 'revert']),
      isAtomic: random.chance(0.3),
    };
    const databaseIds = random.pick([['one'], ['one'], ['one', 'two']]);
    const hasFilter = random.chance(0.4);
    const restricted = new Set<string>();
    const hooks = createRuleHooks(
      this.#rules,
      (siteId) => restricted.has(siteIdToText(siteId)),
      () => !this.#isHealing && random.chance(0.02),
    );
    // Without a filter the way of what is sent is another one.
    if (!hasFilter) delete hooks.onBeforeSendChanges;
    this.#server = new SimServer({
      ...{ loop, random, disk: this.#disk, hooks },
      config: {
        storage: {
          idleCloseMs: random.pick([50, 500, 60_000]),
          maintenanceMs: random.pick([50, 300, 60_000]),
          maxOpenDatabases: random.pick([databaseIds.length, 100]),
        },
        sync: {
          tombstoneTTL: random.pick([5000, HOUR_MS]),
          batchSize: random.integer(1, 12),
        },
        hooks: { onReject: this.#rules.onReject },
        limits: {
          pageBytes: random.pick([300, 2000, 4_000_000]),
          queuedBytesPerSocket: random.pick([400, 4000, 8_000_000]),
        },
      },
    });
    const count = random.integer(2, 8);
    for (let number = 1; number <= count; number++) {
      const device = new SimDevice({
        ...{ loop, random, number, server: this.#server, rules: this.#rules },
        databaseId: random.pick(databaseIds),
        transport: random.chance(0.3) ? 'http' : 'websocket',
        isRestricted: hasFilter && random.chance(0.4),
        relays: random.chance(0.4),
      });
      if (device.isRestricted) restricted.add(device.siteId);
      this.#devices.push(device);
    }
  }

  statistics(): RunStatistics {
    return {
      transactions: this.#devices.reduce((sum, { own }) => sum + own.length, 0),
      commits: this.#disk.commits,
      kills: this.#kills,
      virtualMs: this.#loop.nowMs - START_MS,
      steps: this.#loop.steps,
    };
  }

  async go(): Promise<void> {
    this.#server.start();
    const endMs = START_MS + this.#random.integer(1500, 6000);
    for (const device of this.#devices) this.#keepStepping(device);
    this.#keepTroubling(endMs);
    while (this.#loop.nowMs < endMs) {
      await this.#run(this.#random.integer(50, 400));
      await this.#witness();
    }
    await this.#heal();
    await this.#listen();
    await this.#check();
  }

  async #run(ms: number): Promise<void> {
    await this.#loop.run(this.#loop.nowMs + ms);
    if (this.#faults.length > 0) throw this.#faults[0];
    assert.deepEqual(this.#disk.violations, []);
    assert.deepEqual(this.#server.loggedErrors, []);
  }

  #guarded(work: () => void): () => void {
    return () => {
      try {
        work();
      } catch (error) {
        this.#faults.push(error);
      }
    };
  }

  #keepStepping(device: SimDevice): void {
    const waitMs = this.#isHealing ? this.#healingStepMs : this.#random.integer(1, 120);
    this.#loop.at(waitMs, () => {
      this.#guarded(() => device.step())();
      this.#keepStepping(device);
    });
  }

  /** Crashes, stops, full disks and clocks that jump, until it is time to mend. */
  #keepTroubling(endMs: number): void {
    this.#loop.at(this.#random.integer(50, 900), () => {
      if (this.#loop.nowMs >= endMs) return;
      this.#trouble();
      this.#keepTroubling(endMs);
    });
  }

  #trouble(): void {
    const random = this.#random;
    const dice = random.next();
    if (dice < 0.3) this.#kill();
    else if (dice < 0.4) this.#stop();
    else if (dice < 0.5) this.#disk.isFull = !this.#disk.isFull;
    else if (dice < 0.6) this.#disk.failures = random.pick([0, 0, 0.05, 0.3]);
    else if (dice < 0.7) {
      this.#setClock(random.pick([0, -HOUR_MS, 5 * MINUTE_MS, random.integer(-3000, 3000)]));
    } else if (dice < 0.75) this.#tidyUp();
    else random.pick(this.#devices).disconnect();
  }

  /** Deletions are remembered for longer than a snapshot takes: time doesn't jump ahead during one. */
  #setClock(skewMs: number): void {
    const isAhead = skewMs > this.#server.skewMs;
    if (isAhead && this.#devices.some(({ isTakingSnapshot }) => isTakingSnapshot)) return;
    this.#server.skewMs = skewMs;
  }

  #kill(): void {
    if (!this.#server.isUp) return;
    this.#kills++;
    this.#server.kill();
    this.#loop.at(this.#random.integer(1, 300), () => this.#server.start());
  }

  #tidyUp(): void {
    for (const databaseId of this.#disk.databaseIds()) this.#server.tidyUp(databaseId);
  }

  #stop(): void {
    if (!this.#server.isUp) return;
    this.#server.stop().then(() => this.#loop.at(10, () => this.#server.start()));
  }

  /** Looks at the disk as it is now: what was acknowledged is there. And remembers it. */
  async #witness(): Promise<void> {
    const databaseId = this.#random.pick(this.#disk.databaseIds());
    if (databaseId === undefined) return;
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
    if (this.#witnesses.length < 8) {
      this.#witnesses.push({ databaseId, position: manager.position, replica });
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
      store: this.#disk.copy(databaseId),
      world: createTestWorld(this.#loop.nowMs + 2 * HOUR_MS),
    });
    return manager;
  }

  async #heal(): Promise<void> {
    this.#isHealing = true;
    this.#disk.isFull = false;
    this.#disk.failures = 0;
    for (const device of this.#devices) {
      device.skewMs = 0;
      device.isHealing = true;
    }
    // Somebody may come back only after all that was deleted meanwhile has been forgotten.
    const away = this.#devices.filter(() => this.#random.chance(0.25));
    for (const device of away) device.leave();
    await this.#run(3000);
    if (!this.#server.isUp) this.#server.start();
    // As a rule the coordinator's clock is ahead of all others now. Else some devices have to wait
    // until it has caught up with what they have written.
    if (this.#random.chance(0.9)) this.#setClock(2 * HOUR_MS);
    if (away.length > 0) {
      if (this.#random.chance(0.7)) this.#tidyUp();
      await this.#run(this.#random.pick([500, 2 * MINUTE_MS]));
    }
    for (const device of away) device.isAway = false;
    for (let round = 0; round < HEALING_ROUNDS_MAX; round++) {
      // Whose clock was ahead is refused until the coordinator's has caught up.
      if (round === 20) this.#healingStepMs = MINUTE_MS / 2;
      await this.#run(round < 20 ? 1000 : MINUTE_MS);
      if (await this.#isSettled()) return;
    }
    const open = this.#devices.filter(({ isSettled }) => !isSettled);
    assert.fail(`${open.length} of ${this.#devices.length} devices never came to rest`);
  }

  async #isSettled(devices = this.#devices): Promise<boolean> {
    if (!devices.every(({ isSettled }) => isSettled)) return false;
    for (const databaseId of this.#disk.databaseIds()) {
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

  /** Without anybody asking, by pushes alone, what is written now reaches who is connected. */
  async #listen(): Promise<void> {
    const pauseMs = this.#healingStepMs;
    this.#healingStepMs = HEALING_STEP_MS;
    await this.#run(pauseMs);
    const listeners = this.#devices.filter(({ isConnectedForGood }) => isConnectedForGood);
    // Somebody has to write.
    if (listeners.length === this.#devices.length) listeners.pop();
    const writers = this.#devices.filter((device) => !listeners.includes(device));
    for (const device of listeners) device.isListening = true;
    for (const device of listeners) device.isHearingSlowly = this.#random.chance(0.5);
    for (let i = 0; i < 5; i++) {
      for (const device of writers) device.write();
      await this.#run(this.#random.integer(1, 400));
    }
    for (const device of listeners) device.isHearingSlowly = false;
    for (let round = 0; round < HEALING_ROUNDS_MAX; round++) {
      await this.#run(round < 20 ? 2000 : MINUTE_MS);
      if (!(await this.#isSettled(writers))) continue;
      // The last of it may have been stored just now: the pushes of it are on their way.
      await this.#run(PUSHES_ARRIVE_MS);
      return;
    }
    assert.fail('those who write never came to rest');
  }

  async #check(): Promise<void> {
    for (const databaseId of this.#disk.databaseIds()) {
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
    for await (const { code, where, what } of verifyDatabase(this.#disk.copy(databaseId))) {
      assert.fail(`the store of ${databaseId}: ${code} ${where}: ${what}`);
    }
  }

  /** By the naive model: whatever was written and allowed, and what the coordinator answered. */
  #expected(databaseId: string, manager: SyncManager): Replica {
    const expected = new Replica();
    expected.apply(this.#ownOf(databaseId).map(({ set }) => this.#stored(set)));
    const coordinator = Buffer.from(textToSiteId(manager.identity.siteIdText));
    const isAnswer = ({ hlc }: WireChange) =>
      Buffer.from(hlc, 'base64').subarray(10, 26).equals(coordinator);
    const logged = this.#disk.logged(databaseId);
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
