/**
 * One run: devices, a network, one or several coordinators and what they keep their databases in,
 * with everything that can go wrong for some time; then all of it is mended, and everybody has to
 * agree.
 */

import assert from 'node:assert/strict';
import { siteIdToText } from '../../src/clock/site-id.ts';
import { ClientDevice } from './client-device.ts';
import { SimDevice, type SimDeviceOptions } from './device.ts';
import { DeviceTables } from './device-tables.ts';
import { Disk } from './disk.ts';
import { Loop } from './loop.ts';
import { Nodes } from './nodes.ts';
import { Oracle } from './oracle.ts';
import type { Participant } from './participant.ts';
import { Random } from './random.ts';
import { createRuleHooks } from './rule-hooks.ts';
import type { HooksMode, Rules } from './rules.ts';
import { SharedStore } from './shared-store.ts';
import type { SimStorage } from './sim-storage.ts';
import { storedForgetting } from './store-look.ts';
import type { DdlMode } from './table-names.ts';
import { TableOracle } from './table-oracle.ts';
import type { TableUserOptions } from './table-user.ts';

const START_MS = 1_800_000_000_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const HEALING_ROUNDS_MAX = 200;
const HEALING_STEP_MS = 300;
/** A step of waiting is as long as a device rests then between two things that it does. */
const WAIT_STEP_MS = MINUTE_MS / 2;
/** Of that, enough to connect anew and to be answered. */
const AWAKE_MS = 3000;
/** Longer than anything takes on a network that is whole, and than a slow listener's pauses. */
const PUSHES_ARRIVE_MS = 2000;
/** For everything; for a few rows; for next to nothing, so that whoever is refused starts over. */
export type HeldMode = 'all' | 'some' | 'none';
export const HELD_MODES: readonly HeldMode[] = ['all', 'some', 'none'];
const HELD_LIMITS = {
  all: {},
  some: { heldBytesPerSite: 2000, heldBytesPerDatabase: 5000, heldSitesPerDatabase: 2 },
  none: { heldBytesPerSite: 400, heldBytesPerDatabase: 800, heldSitesPerDatabase: 1 },
} as const;

/** Of each mode of hooks every third seed. */
export function seedToHeldMode(seed: number): HeldMode {
  return HELD_MODES[Math.floor(seed / 8) % HELD_MODES.length] ?? 'all';
}
const PAGE_BYTES: readonly number[] = [300, 2000, 4_000_000];
/** How often one table holds more rows than are moved in one step. */
const BULKY = 0.03;

export interface RunStatistics {
  transactions: number;
  commits: number;
  kills: number;
  virtualMs: number;
  steps: number;
}

export interface RunOptions {
  seed: number;
  /** Several of them share one store; a single one has a disk. */
  nodes: number;
  /** Who makes, drops and renames tables. */
  ddl: DdlMode;
  /** With `known` the devices that push back what they received forge some of it. */
  foreignAuthors: 'accept' | 'known';
  /** What hooks do to changes: refuse some, or rewrite and move others as well. */
  hooks: HooksMode;
  /** How much is kept of what devices hold that was refused. */
  held: HeldMode;
  /** Which devices are the published client; the others are models of what is older. */
  clients: ClientsMode;
}

export type ClientsMode = 'wire' | 'sdk' | 'mixed';
export const CLIENTS_MODES: readonly ClientsMode[] = ['wire', 'sdk', 'mixed'];

/**
 * @throws if anything is not as it must be
 */
export async function simulate({ seed, ...options }: RunOptions): Promise<RunStatistics> {
  const random = new Random(seed);
  const loop = new Loop(START_MS);
  const uninstall = loop.install();
  try {
    const run = new Run(loop, random, options);
    await run.go();
    return run.statistics();
  } finally {
    uninstall();
  }
}

type DeviceChoice = Pick<
  SimDeviceOptions,
  'databaseId' | 'transport' | 'isRestricted' | 'relays' | 'forges'
>;

class Run {
  readonly #loop: Loop;
  readonly #random: Random;
  readonly #storage: SimStorage;
  readonly #nodes: Nodes;
  readonly #devices: Participant[] = [];
  readonly #rules: Rules;
  readonly #ddl: DdlMode;
  readonly #clients: ClientsMode;
  readonly #isBulky: boolean;
  /** For how long deletions are remembered. */
  readonly #ttlMs: number;
  readonly #oracle: Oracle;
  #isHealing = false;
  /** How often a device does something while everybody is brought together. */
  #healingStepMs = HEALING_STEP_MS;
  /** What went wrong in a task, where nobody was waiting for it. */
  readonly #faults: unknown[] = [];

  constructor(
    loop: Loop,
    random: Random,
    { nodes, ddl, foreignAuthors, hooks: hooksMode, held, clients }: Omit<RunOptions, 'seed'>,
  ) {
    this.#ddl = ddl;
    this.#clients = clients;
    this.#loop = loop;
    this.#random = random;
    this.#storage = nodes === 1 ? new Disk(loop, random) : new SharedStore(loop, random);
    this.#rules = {
      onReject: random.pick(['keep', 'revert']),
      isAtomic: random.chance(0.3),
      moves: hooksMode === 'move',
    };
    const databaseIds = random.pick([['one'], ['one'], ['one', 'two']]);
    const hasFilter = random.chance(0.4);
    const restricted = new Set<string>();
    const isRestricted = (siteId: Uint8Array) => restricted.has(siteIdToText(siteId));
    const hooks = createRuleHooks({
      rules: this.#rules,
      isSerial: this.#rules.moves && random.chance(0.3),
      isRestricted: hasFilter ? isRestricted : undefined,
      fails: () => !this.#isHealing && random.chance(0.02),
    });
    const heldLimits = HELD_LIMITS[held];
    const config = {
      storage: {
        idleCloseMs: random.pick([50, 500, 60_000]),
        // Each node tidies up.
        maintenanceMs: nodes * random.pick([50, 300, 60_000]),
        maxOpenDatabases: random.pick([databaseIds.length, 100]),
      },
      sync: {
        tombstoneTTL: random.pick([5000, HOUR_MS]),
        batchSize: random.integer(1, 12),
        foreignAuthors,
      },
      hooks: { onReject: this.#rules.onReject },
      limits: {
        pageBytes: random.pick(ddl === 'none' ? PAGE_BYTES : [150, ...PAGE_BYTES]),
        queuedBytesPerSocket: random.pick([400, 4000, 8_000_000]),
        // They are all at one address.
        sharePerUser: 100,
        ...heldLimits,
      },
    };
    this.#ttlMs = config.sync.tombstoneTTL;
    this.#nodes = new Nodes(nodes, {
      ...{ loop, random, storage: this.#storage, hooks, config },
    });
    this.#isBulky = ddl === 'one' && random.chance(BULKY);
    const count = this.#rules.moves && random.chance(0.5) ? 6 : random.integer(2, 8);
    for (let number = 1; number <= count; number++) {
      const device = this.#createDevice(number, {
        databaseId: random.pick(databaseIds),
        transport: random.chance(0.3) ? 'http' : 'websocket',
        isRestricted: hasFilter && random.chance(0.4),
        relays: random.chance(0.4),
        forges: foreignAuthors === 'known',
      });
      if (device.isRestricted) restricted.add(device.siteId);
      this.#devices.push(device);
    }
    const { committed } = this.#storage;
    const seen = { devices: this.#devices, rules: this.#rules };
    const isOnlyMaker = ddl === 'one';
    const isRepeated = this.#repeats;
    const isCompared = ddl === 'many';
    const tables =
      ddl === 'none'
        ? undefined
        : new TableOracle({ ...seen, random, isOnlyMaker, isRepeated, isCompared });
    this.#oracle = new Oracle({ ...seen, loop, committed, tables });
  }

  #createDevice(number: number, options: DeviceChoice): Participant {
    return this.#isClient()
      ? this.#createClient(number, options)
      : this.#createWire(number, options);
  }

  #isClient(): boolean {
    // What fills a table with many rows goes by what a device of before holds.
    if (this.#clients === 'wire' || this.#isBulky) return false;
    return this.#clients === 'sdk' || this.#random.chance(0.5);
  }

  #createClient(
    number: number,
    { databaseId, isRestricted, transport }: DeviceChoice,
  ): ClientDevice {
    const { committed } = this.#storage;
    return new ClientDevice({
      ...{ loop: this.#loop, random: this.#random, nodes: this.#nodes, rules: this.#rules },
      ...{ number, databaseId, isRestricted, transport },
      ...(this.#ddl !== 'none' && { tables: this.#tableUser(number, databaseId) }),
      onFault: (error) => this.#faults.push(error),
      wasStored: ({ changes, schemaMigrations }) => {
        const own = new Set([...changes, ...schemaMigrations].map(({ hlc }) => hlc));
        return committed
          .logged(databaseId)
          .some((set) => [...set.changes, ...set.schemaMigrations].some(({ hlc }) => own.has(hlc)));
      },
    });
  }

  #createWire(number: number, options: DeviceChoice): SimDevice {
    const device = new SimDevice({
      ...{ loop: this.#loop, random: this.#random, nodes: this.#nodes, rules: this.#rules },
      ...{ number, ...options },
      ...(this.#ddl !== 'none' && { tables: this.#createTables(number, options.databaseId) }),
      onFault: (error) => this.#faults.push(error),
    });
    return device;
  }

  /** Not where there is a model of today's client, which loses such a table by a drop that comes late. */
  get #repeats(): boolean {
    return this.#clients === 'sdk';
  }

  #tableUser(number: number, databaseId: string): TableUserOptions {
    const isOnlyMaker = this.#ddl === 'one';
    const before = this.#devices.filter((device) => device.databaseId === databaseId).length;
    return {
      ...{ random: this.#random, number, rules: this.#rules, isOnlyMaker },
      isMaker: !isOnlyMaker || before === 0,
      repeats: this.#repeats,
      bulk: this.#isBulky ? (before === 1 ? 'filled by it' : 'filled by another') : 'none',
    };
  }

  #createTables(number: number, databaseId: string): DeviceTables {
    const isOnlyMaker = this.#ddl === 'one';
    return new DeviceTables({
      ...this.#tableUser(number, databaseId),
      catalog: { name: `device ${number}`, mayCollide: !isOnlyMaker, mayLackDdl: !isOnlyMaker },
    });
  }

  statistics(): RunStatistics {
    return {
      transactions: this.#devices.reduce((sum, { own }) => sum + own.length, 0),
      commits: this.#storage.committed.commits,
      kills: this.#nodes.kills,
      virtualMs: this.#loop.nowMs - START_MS,
      steps: this.#loop.steps,
    };
  }

  async go(): Promise<void> {
    this.#nodes.start();
    const endMs = START_MS + this.#random.integer(1500, 6000);
    for (const device of this.#devices) this.#keepStepping(device);
    this.#keepTroubling(endMs);
    while (this.#loop.nowMs < endMs) {
      await this.#run(this.#random.integer(50, 400));
      const databaseId = this.#random.pick(this.#storage.committed.databaseIds());
      if (databaseId !== undefined) await this.#oracle.witness(databaseId);
    }
    await this.#heal();
    await this.#listen();
    const refused = this.#ddl === 'none' ? [] : await this.#begin();
    await this.#oracle.check();
    assert.deepEqual(refused, [], 'who begins with nothing is refused, and nothing was forgotten');
  }

  async #run(ms: number): Promise<void> {
    await this.#loop.run(this.#loop.nowMs + ms);
    if (this.#faults.length > 0) throw this.#faults[0];
    assert.deepEqual(this.#storage.committed.violations, []);
    assert.deepEqual(this.#nodes.loggedErrors, []);
  }

  /**
   * Lets time pass that only clocks have to wait for. For most of it nobody runs: polls and timers would
   * take longer than all that came before, and do the same again and again.
   */
  async #wait(ms: number): Promise<void> {
    const steps = Math.ceil(ms / WAIT_STEP_MS);
    for (let i = 0; i < steps; i++) {
      this.#loop.skip(WAIT_STEP_MS - AWAKE_MS);
      await this.#run(AWAKE_MS);
    }
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

  #keepStepping(device: Participant): void {
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
    if (this.#ddl !== 'none' && random.chance(0.4)) {
      this.#troubleTables();
      return;
    }
    const dice = random.next();
    if (dice < 0.3) this.#nodes.kill();
    else if (dice < 0.4) this.#nodes.stop();
    else if (dice < 0.5) this.#storage.toggleOutage();
    else if (dice < 0.6) this.#storage.changeFaults();
    else if (dice < 0.7) {
      this.#setClock(random.pick([0, -HOUR_MS, 5 * MINUTE_MS, random.integer(-3000, 3000)]));
    } else if (dice < 0.75) this.#tidyUp();
    else random.pick(this.#devices).disconnect();
  }

  /** What comes between a commit and those who hear of it, and between the pages of an answer. */
  #troubleTables(): void {
    const random = this.#random;
    const dice = random.next();
    if (dice < 0.25) this.#tidyUp();
    else if (dice < 0.5) this.#forgetUnderReaders();
    else if (dice < 0.8) this.#storage.lingerMs = random.pick([0, 10, 60, 200]);
    else this.#storage.hearLate();
  }

  /** Answers under way are held up, and what was deleted before is forgotten meanwhile. */
  #forgetUnderReaders(): void {
    for (const device of this.#devices) if (this.#random.chance(0.6)) device.stall();
    this.#loop.at(this.#random.integer(1, 150), () => {
      if (this.#isHealing) return;
      this.#setClock(this.#nodes.skewMs + this.#ttlMs);
      this.#tidyUp();
    });
  }

  /** Deletions are remembered for longer than a snapshot takes: time doesn't jump ahead during one. */
  #setClock(skewMs: number): void {
    const isAhead = skewMs > this.#nodes.skewMs;
    if (isAhead && this.#devices.some(({ isTakingSnapshot }) => isTakingSnapshot)) return;
    this.#nodes.skewMs = skewMs;
  }

  #tidyUp(): void {
    this.#nodes.tidyUp(this.#storage.committed.databaseIds());
  }

  async #heal(): Promise<void> {
    this.#isHealing = true;
    this.#storage.mend();
    for (const device of this.#devices) {
      device.skewMs = 0;
      device.isHealing = true;
    }
    // Somebody may come back only after all that was deleted meanwhile has been forgotten.
    const away = this.#devices.filter(() => this.#random.chance(0.25));
    for (const device of away) device.leave();
    await this.#run(3000);
    this.#nodes.start();
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
      await (round < 20 ? this.#run(1000) : this.#wait(MINUTE_MS));
      if (await this.#oracle.isSettled()) return;
    }
    const open = this.#devices.filter(({ isSettled }) => !isSettled);
    assert.fail(`${open.length} of ${this.#devices.length} devices never came to rest`);
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
      for (const device of writers) {
        device.write();
        device.changeTables();
      }
      await this.#run(this.#random.integer(1, 400));
    }
    for (const device of listeners) device.isHearingSlowly = false;
    for (let round = 0; round < HEALING_ROUNDS_MAX; round++) {
      await (round < 20 ? this.#run(2000) : this.#wait(MINUTE_MS));
      if (!(await this.#oracle.isSettled(writers))) continue;
      // The last of it may have been stored just now: the pushes of it are on their way.
      await this.#run(PUSHES_ARRIVE_MS);
      // Who was told to start over comes back for it.
      if (!listeners.some(({ isStartingOver }) => isStartingOver)) return;
    }
    assert.fail('those who write never came to rest');
  }

  /** Somebody new reads all of it, in the pages of the transport. @returns who was refused, for nothing */
  async #begin(): Promise<string[]> {
    const refused: string[] = [];
    for (const databaseId of this.#storage.committed.databaseIds()) {
      const forgotten = () => storedForgetting(this.#storage.committed.copy(databaseId));
      const before = await forgotten();
      const transport = this.#random.pick(['http', 'websocket'] as const);
      const number = this.#devices.length + 1;
      const options = { databaseId, transport, isRestricted: false, relays: false, forges: false };
      const device = this.#createDevice(number, options);
      this.#devices.push(device);
      device.isHealing = true;
      this.#keepStepping(device);
      for (let round = 0; !(await this.#oracle.isSettled([device])); round++) {
        assert.ok(round < HEALING_ROUNDS_MAX, 'a device that begins never came to rest');
        // A page may hold one change only.
        await (round < 20 ? this.#run(1000) : this.#wait(MINUTE_MS));
      }
      // Over a socket it asks again while an answer is under way, which is no going on.
      if (transport === 'websocket' || (await forgotten()) !== before) continue;
      if (device.refusals > 0) refused.push(device.siteId);
    }
    return refused;
  }
}
