/**
 * Kills a real server under load, again and again, starts it on what is left, and looks whether
 * everything that was acknowledged is there. The clients are never told: they come back by themselves.
 */

import assert from 'node:assert/strict';
import { createClock, type TestClock } from '../../src/testing/clock.ts';
import { type ChildServer, startChildServer } from '../support/child-server.ts';
import { freePort } from '../support/free-port.ts';
import { PlainDevice } from '../support/plain-device.ts';
import { Ledger } from './ledger.ts';
import { keepWriting, sleep } from './load.ts';

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
/** Every so many starts the server finds its disk full after a little. */
const FULL_DISK_EVERY = 7;

export async function crashAgainAndAgain(options: CrashOptions): Promise<CrashReport> {
  const run = new CrashRun(options, await freePort());
  return run.go();
}

class CrashRun {
  readonly #options: CrashOptions;
  readonly #port: number;
  readonly #writers: PlainDevice[];
  readonly #listener: PlainDevice;
  readonly #ledger = new Ledger();
  #isDown = true;

  constructor(options: CrashOptions, port: number) {
    this.#options = options;
    this.#port = port;
    const url = `ws://127.0.0.1:${port}/sync/ws`;
    const clock: TestClock = createClock();
    this.#writers = Array.from(
      { length: WRITERS },
      (_, i) => new PlainDevice(url, clock, { site: i + 1 }),
    );
    this.#listener = new PlainDevice(url, clock, { site: 99 });
  }

  async go(): Promise<CrashReport> {
    let fullDisks = 0;
    for (let kill = 1; kill <= this.#options.kills; kill++) {
      const isFull = this.#options.storage === undefined && kill % FULL_DISK_EVERY === 0;
      if (isFull) fullDisks++;
      const server = await this.#start(isFull);
      if (!isFull) await this.#ledger.check(server.httpUrl);
      await this.#loadAndKill(server);
      this.#options.onProgress?.(kill, this.#ledger.acknowledged);
    }
    const server = await this.#start(false);
    await this.#ledger.check(server.httpUrl);
    await this.#settle();
    await server.kill('SIGKILL');
    for (const device of [...this.#writers, this.#listener]) device.destroy();
    const { acknowledged, refusals } = this.#ledger;
    return { acknowledged, fullDisks, refusedForSpace: refusals };
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
    const writing = this.#writers.map((device) =>
      keepWriting(device, this.#ledger, () => this.#isDown),
    );
    // At any moment, from the first connection to well into the load.
    await sleep(5 + Math.random() * 400);
    await server.kill('SIGKILL');
    this.#isDown = true;
    for (const device of devices) device.destroy();
    await Promise.all(writing);
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
