/**
 * Kills a real server under load, again and again, starts it on what is left, and looks whether
 * everything that was acknowledged is there. The clients are never told: they come back by themselves.
 */

import assert from 'node:assert/strict';
import { compareHlc } from '../../src/clock/hlc.ts';
import { createClock, type TestClock } from '../../src/testing/clock.ts';
import { Device } from '../../src/testing/device.ts';
import { Replica } from '../../src/testing/replica.ts';
import { SimulatedDevice } from '../../src/testing/simulated-device.ts';
import type { WireChange, WireChangeSet } from '../../src/wire/schemas.ts';
import { type ChildServer, startChildServer } from '../support/child-server.ts';
import { freePort } from '../support/free-port.ts';

export interface CrashOptions {
  kills: number;
  dataDir: string;
  /** Where it keeps its data, if not in an embedded store: no disk of ours gets full then. */
  storage?: string;
  owner: { after(fn: () => unknown): void };
  onProgress?(kills: number, acknowledged: number): void;
}

export interface CrashReport {
  acknowledged: number;
  /** Starts with room for no more than a little. */
  fullDisks: number;
  /** Writes that were refused for want of room. */
  refusedForSpace: number;
}

const WRITERS = 4;
const ROWS = 20;
/** Every so many starts the server finds its disk full after a little. */
const FULL_DISK_EVERY = 7;
const COLUMNS = ['x', 'y', 'z'];

export async function crashAgainAndAgain(options: CrashOptions): Promise<CrashReport> {
  const run = new CrashRun(options, await freePort());
  return run.go();
}

class CrashRun {
  readonly #options: CrashOptions;
  readonly #port: number;
  readonly #writers: SimulatedDevice[];
  readonly #listener: SimulatedDevice;
  /** What its writer was told is stored. */
  readonly #acknowledged: WireChangeSet[] = [];
  readonly #written: WireChangeSet[] = [];
  #newestPosition = '';
  #values = 0;
  #refusedForSpace = 0;
  #isDown = true;

  constructor(options: CrashOptions, port: number) {
    this.#options = options;
    this.#port = port;
    const url = `ws://127.0.0.1:${port}/sync/ws`;
    const clock: TestClock = createClock();
    this.#writers = Array.from(
      { length: WRITERS },
      (_, i) => new SimulatedDevice(url, clock, { site: i + 1 }),
    );
    this.#listener = new SimulatedDevice(url, clock, { site: 99 });
  }

  async go(): Promise<CrashReport> {
    let fullDisks = 0;
    for (let kill = 1; kill <= this.#options.kills; kill++) {
      const isFull = this.#options.storage === undefined && kill % FULL_DISK_EVERY === 0;
      if (isFull) fullDisks++;
      const server = await this.#start(isFull);
      if (!isFull) await this.#check(server);
      await this.#loadAndKill(server);
      this.#options.onProgress?.(kill, this.#acknowledged.length);
    }
    const server = await this.#start(false);
    await this.#check(server);
    await this.#settle();
    await server.kill('SIGKILL');
    for (const device of [...this.#writers, this.#listener]) device.destroy();
    const acknowledged = this.#acknowledged.length;
    return { acknowledged, fullDisks, refusedForSpace: this.#refusedForSpace };
  }

  #start(isFull: boolean): Promise<ChildServer> {
    const { owner, dataDir, storage } = this.#options;
    const args = ['--port', String(this.#port), '--storage-maintenance-ms', '100'];
    if (storage !== undefined) args.push('--storage', storage);
    // No file may grow beyond 128 KiB or 256 KiB (shells differ in the unit): to the store, a full disk.
    const before = isFull ? 'ulimit -f 256;' : '';
    return startChildServer(owner, { dataDir, args, before });
  }

  async #loadAndKill(server: ChildServer): Promise<void> {
    this.#isDown = false;
    const devices = [...this.#writers, this.#listener];
    // Who is waiting for answers when the server is killed goes on waiting until it is back.
    for (const device of devices) device.comeBack().catch(() => undefined);
    const writing = this.#writers.map((device) => this.#keepWriting(device));
    // At any moment, from the first connection to well into the load.
    await sleep(5 + Math.random() * 400);
    await server.kill('SIGKILL');
    this.#isDown = true;
    for (const device of devices) device.destroy();
    await Promise.all(writing);
  }

  /** Keeps several transactions under way, each of one value in three columns of some rows. */
  async #keepWriting(device: SimulatedDevice): Promise<void> {
    while (!this.#isDown) {
      const value = `${++this.#values}`.padEnd(200, '.');
      const isDelete = Math.random() < 0.1;
      const rows = Array.from({ length: 1 + Math.floor(Math.random() * 3) }, () => ({
        table: 't',
        pk: [Math.floor(Math.random() * ROWS)],
      }));
      const values = Object.fromEntries(COLUMNS.map((column) => [column, value]));
      const writes = rows.map((row) =>
        isDelete ? { ...row, delete: true as const } : { ...row, set: values },
      );
      const acknowledged = this.#note(device, device.transact(...writes));
      await Promise.race([acknowledged, sleep(Math.random() * 4)]);
    }
  }

  async #note(device: SimulatedDevice, verdict: Promise<unknown>): Promise<void> {
    const changeSet = device.lastWritten;
    this.#written.push(changeSet);
    try {
      await verdict;
      this.#acknowledged.push(changeSet);
    } catch (error) {
      if (String(error).includes('STORE_UNAVAILABLE')) this.#refusedForSpace++;
    }
  }

  /** Reads everything, as somebody who has nothing does. */
  async #check(server: ChildServer): Promise<void> {
    const headers = { 'x-site-id': new Device(1000).siteId };
    const { changeSets, watermark } = await readLog(server.httpUrl, headers);
    const positions = changeSets.map(({ hlc }) => hlc);
    for (const [i, position] of positions.entries()) {
      const before = positions[i - 1];
      assert.ok(!before || compareHlc(before, position) < 0, 'positions rise strictly');
    }
    assert.ok(
      this.#newestPosition === '' || compareHlc(this.#newestPosition, watermark) <= 0,
      `the newest position went back from ${this.#newestPosition} to ${watermark}`,
    );
    this.#newestPosition = watermark;
    const fromLog = new Replica();
    fromLog.apply(changeSets);
    const fromSnapshot = new Replica();
    const snapshot = await (await fetch(`${server.httpUrl}/snapshot`, { headers })).text();
    fromSnapshot.load(
      snapshot
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    );
    assert.deepEqual(fromLog.contents(), fromSnapshot.contents(), 'the log and the rows agree');
    this.#checkAcknowledged(fromSnapshot);
    for (const [key, row] of Object.entries(fromSnapshot.contents())) {
      const values = COLUMNS.map((column) => row[column]);
      assert.ok(new Set(values).size === 1, `half a transaction at ${key}: ${JSON.stringify(row)}`);
    }
  }

  #checkAcknowledged(stored: Replica): void {
    const everything = new Replica();
    everything.apply(this.#written);
    const isThere = (change: WireChange) =>
      change.type === 'delete'
        ? !stored.holdsOlder(change)
        : stored.knows(change) || everything.isDeletedAfter(change);
    for (const { transactionId, changes } of this.#acknowledged) {
      assert.ok(changes.every(isThere), `acknowledged and lost: ${transactionId}`);
    }
  }

  /** Everybody comes back and ends up with the same. */
  async #settle(): Promise<void> {
    for (const device of this.#writers) await device.comeBack();
    await this.#listener.comeBack();
    for (const device of this.#writers) await device.synced();
    for (const device of this.#writers) {
      assert.deepEqual(device.contents(), this.#listener.contents(), device.siteId);
    }
  }
}

async function readLog(url: string, headers: Record<string, string>) {
  const changeSets: WireChangeSet[] = [];
  let watermark = '';
  for (;;) {
    const query = watermark === '' ? '' : `?sinceHLC=${encodeURIComponent(watermark)}`;
    const response = await fetch(`${url}/changes${query}`, { headers });
    const body = (await response.json()) as {
      ok: boolean;
      data: { changes: WireChangeSet[]; hasMore: boolean; watermark: string };
    };
    assert.ok(body.ok, JSON.stringify(body));
    changeSets.push(...body.data.changes.filter(({ changes }) => changes.length > 0));
    watermark = body.data.watermark;
    if (!body.data.hasMore) return { changeSets, watermark };
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
