/**
 * Several nodes on one PostgreSQL, under load while now one and now another of them, or PostgreSQL
 * itself, is killed. Devices go to another node when theirs dies, and each node has a listener that
 * must be sent everything.
 */

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createClock } from '../../src/testing/clock.ts';
import { Device } from '../../src/testing/device.ts';
import { type ChildServer, startChildServer } from '../support/child-server.ts';
import { PlainDevice } from '../support/plain-device.ts';
import { Replica } from '../support/replica.ts';
import { Ledger } from './ledger.ts';
import { keepWriting, sleep } from './load.ts';
import { PushListener } from './push-listener.ts';

export interface ClusterOptions {
  nodes: number;
  kills: number;
  /** A URL of PostgreSQL. */
  storage: string;
  dataDir: string;
  owner: { after(fn: () => unknown): void };
  /** Kills something else than a node, under load, and brings it back. */
  outage?(kill: number): Promise<void>;
  onProgress?(kills: number, acknowledged: number): void;
}

export interface ClusterReport {
  acknowledged: number;
  /** Answered with STORE_UNAVAILABLE, and written again. */
  refusals: number;
}

interface Node {
  readonly number: number;
  readonly listener: PushListener;
  server: ChildServer;
}

const WRITERS = 4;
/** All that has been written so far is read and held against each other every so many kills. */
const CHECK_EVERY = 5;
const DAY_MS = 86_400_000;

export async function crashCluster(options: ClusterOptions): Promise<ClusterReport> {
  const run = await ClusterRun.start(options);
  try {
    return await run.go();
  } finally {
    run.end();
  }
}

class ClusterRun {
  readonly #options: ClusterOptions;
  readonly #nodes: readonly Node[];
  readonly #writers: readonly PlainDevice[];
  /** Where each device is. */
  readonly #places = new Map<PlainDevice, Node>();
  readonly #ledger = new Ledger();
  readonly #marks = new Device(900);
  #isPaused = false;

  static async start(options: ClusterOptions): Promise<ClusterRun> {
    const nodes = await Promise.all(
      Array.from({ length: options.nodes }, async (_, number) => {
        const listener = new PushListener(1001 + number);
        return { number, listener, server: await startNode(options, number) };
      }),
    );
    return new ClusterRun(options, nodes);
  }

  private constructor(options: ClusterOptions, nodes: readonly Node[]) {
    this.#options = options;
    this.#nodes = nodes;
    const clock = createClock();
    this.#writers = Array.from({ length: WRITERS }, (_, i) => {
      const node = pick(nodes);
      const device = new PlainDevice(node.server.wsUrl, clock, { site: i + 1 });
      this.#places.set(device, node);
      return device;
    });
  }

  async go(): Promise<ClusterReport> {
    const { kills, outage, onProgress } = this.#options;
    for (const { listener, server } of this.#nodes) await listener.join(server.wsUrl);
    for (const device of this.#writers) await device.comeBack();
    let writing = this.#goOn();
    for (let kill = 1; kill <= kills; kill++) {
      // At any moment of the load.
      await sleep(5 + Math.random() * 400);
      await (outage === undefined ? this.#killOne() : outage(kill));
      if (kill % CHECK_EVERY === 0 || kill === kills) {
        this.#isPaused = true;
        await writing;
        await this.#check();
        if (kill < kills) writing = this.#goOn();
      }
      onProgress?.(kill, this.#ledger.acknowledged);
    }
    const { acknowledged, refusals } = this.#ledger;
    return { acknowledged, refusals };
  }

  end(): void {
    this.#isPaused = true;
    for (const device of this.#writers) device.destroy();
    for (const { listener, server } of this.#nodes) {
      listener.hangUp();
      server.process.kill('SIGKILL');
    }
  }

  #goOn(): Promise<unknown> {
    this.#isPaused = false;
    return Promise.all(
      this.#writers.map((device) => keepWriting(device, this.#ledger, () => this.#isPaused)),
    );
  }

  /** The others go on, with the devices that it had, while it dies and comes back. */
  async #killOne(): Promise<void> {
    const node = pick(this.#nodes);
    await node.server.kill('SIGKILL');
    const others = this.#nodes.filter((other) => other !== node);
    for (const [device, place] of this.#places) {
      if (place === node) this.#move(device, pick(others));
    }
    await node.listener.ended();
    node.server = await startNode(this.#options, node.number);
    await node.listener.join(node.server.wsUrl);
    // Some find it again.
    const device = pick(this.#writers);
    if (this.#places.get(device) !== node) this.#move(device, node);
  }

  #move(device: PlainDevice, node: Node): void {
    this.#places.set(device, node);
    device.destroy();
    // It has arrived when its writes are answered, which is waited for in the end.
    device.comeBack(node.server.wsUrl).catch(() => undefined);
  }

  /** When nobody writes any more. */
  async #check(): Promise<void> {
    for (const device of this.#writers) await device.synced();
    await this.#ledger.writeRefused(pick(this.#nodes).server.httpUrl);
    // Whoever has been sent the last transaction must have been sent all before it.
    const mark = this.#marks.write({ table: 'marks', pk: [1], set: { x: 1, y: 1, z: 1 } });
    await this.#ledger.post(pick(this.#nodes).server.httpUrl, mark);
    const everything = new Replica();
    for (const { listener, server } of this.#nodes) {
      await listener.heardOf(mark.transactionId);
      const log = await this.#ledger.check(server.httpUrl);
      listener.check(log);
      everything.apply(log);
    }
    for (const device of this.#writers) {
      await device.synced();
      assert.deepEqual(device.contents(), everything.contents(), device.siteId);
    }
  }
}

function startNode({ owner, dataDir, storage }: ClusterOptions, number: number) {
  const own = join(dataDir, `node-${number}`);
  mkdirSync(own, { recursive: true });
  // What listeners were pushed can be held against the log only while that is whole.
  const args = ['--storage', storage, '--storage-maintenance-ms', String(DAY_MS)];
  return startChildServer(owner, { dataDir: own, args });
}

function pick<T>(things: readonly T[]): T {
  const thing = things[Math.floor(Math.random() * things.length)];
  if (thing === undefined) throw new Error('there is nothing to pick from');
  return thing;
}
