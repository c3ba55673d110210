/**
 * The coordinator's process in a simulation: the real service, hooks and protocol, on a
 * simulated storage and simulated sockets. It can be stopped, killed at any moment, and started again.
 */

import { EventEmitter } from 'node:events';
import type { WebSocket } from 'ws';
import { textToSiteId } from '../../src/clock/site-id.ts';
import { loadConfig } from '../../src/config/resolve-config.ts';
import type { CoordinatorConfigInput } from '../../src/config/schema.ts';
import type { World } from '../../src/engine/world.ts';
import { createHookChain } from '../../src/hooks/chain/chain.ts';
import type { InvokedModule } from '../../src/hooks/chain/hook-step.ts';
import type { ClientIdentity } from '../../src/hooks/types.ts';
import { CoordinatorService } from '../../src/service/coordinator-service.ts';
import { ClientConnection } from '../../src/sessions/client-connection.ts';
import { type Loop, OUTSIDE } from './loop.ts';
import { type DeviceEnd, SimSocket } from './network.ts';
import type { Random } from './random.ts';
import type { SimStorage } from './sim-storage.ts';

const STOP_MS = 2000;
const REQUEST_TIMEOUT_MS = 3000;
const REQUEST_LOST = 0.08;
/** All devices have it, and share what an address may have. */
const ADDRESS = '192.0.2.1';

export interface SimServerOptions {
  loop: Loop;
  random: Random;
  /** Among the nodes that share the storage. */
  number: number;
  storage: SimStorage;
  hooks: readonly InvokedModule[];
  config: CoordinatorConfigInput;
}

/** What the process logs as an error is one of these, or it is a finding. */
const EXPECTED_ERRORS = /simulated|SHUTTING_DOWN|STORE_UNAVAILABLE|HOOK_FAILED/;

export class SimServer {
  /** How far the coordinator's clock is off, in milliseconds. */
  skewMs = 0;
  readonly loggedErrors: string[] = [];
  readonly #options: SimServerOptions;
  readonly #sockets = new Set<SimSocket>();
  #service: CoordinatorService | undefined;
  #starts = 0;
  #ids = 0;

  constructor(options: SimServerOptions) {
    this.#options = options;
  }

  get isUp(): boolean {
    return this.#service !== undefined;
  }

  get #owner(): string {
    return `process ${this.#options.number}.${this.#starts}`;
  }

  start(): void {
    this.#starts++;
    const { storage, hooks, config: overrides, loop } = this.#options;
    const config = loadConfig({ cwd: import.meta.dirname, env: {}, overrides });
    const log = (format: string, ...args: unknown[]) => {
      const text = [format, ...args.map(describe)].join(' ');
      if (!EXPECTED_ERRORS.test(text)) this.loggedErrors.push(text);
    };
    const logger = Object.assign(() => undefined, { warn: () => undefined, error: log });
    this.#service = new CoordinatorService({
      config,
      storage: storage.mount(this.#owner),
      hooks: createHookChain(hooks, { timeoutMs: 5000, logger }),
      world: this.#world(),
      version: 'simulated',
    });
    Object.assign(this.#service, { logger });
    loop.owner = OUTSIDE;
  }

  #world(): World {
    const { loop, random, number } = this.#options;
    return {
      now: () => Math.floor(loop.nowMs + this.skewMs),
      randomBytes: (size) => Uint8Array.from({ length: size }, () => random.integer(0, 255)),
      randomUuid: () => {
        this.#ids++;
        return `00000000-0000-4000-800${number}-${String(this.#ids).padStart(12, '0')}`;
      },
      yield: () => loop.sleep(0),
    };
  }

  /** SIGKILL: nothing that it had begun is finished. */
  kill(): void {
    this.#options.loop.kill(this.#owner);
    this.#service = undefined;
    for (const socket of this.#sockets) socket.cut();
    this.#sockets.clear();
    // What its sockets have begun on being cut belongs to nobody any more.
    this.#options.loop.kill(this.#owner);
    this.#options.storage.killed(this.#owner);
  }

  /** SIGTERM. Resolves when the process is gone. */
  stop(): Promise<void> {
    const service = this.#service;
    if (service === undefined) return Promise.resolve();
    this.#service = undefined;
    const sockets = [...this.#sockets];
    this.#sockets.clear();
    return new Promise((resolve) => {
      this.#options.loop.at(
        0,
        async () => {
          await service.settle(STOP_MS);
          for (const socket of sockets) socket.close(1001);
          await service.stop(STOP_MS);
          resolve();
        },
        this.#owner,
      );
    });
  }

  /** Forgets and shortens at once whatever it may. */
  tidyUp(databaseId: string): void {
    const service = this.#service;
    // It may be stopped meanwhile, or its disk fail.
    const work = () => service?.maintain(databaseId).catch(() => undefined);
    this.#options.loop.at(0, work, this.#owner);
  }

  /** @returns `undefined` while nobody listens */
  connect(device: DeviceEnd): SimSocket | undefined {
    const service = this.#service;
    if (service === undefined) return undefined;
    const { loop, random } = this.#options;
    const owner = this.#owner;
    const socket = new SimSocket(loop, random, owner, device);
    this.#sockets.add(socket);
    loop.at(
      0,
      () => {
        const connection = new ClientConnection({
          service,
          sendQueue: socket,
          socket: Object.assign(new EventEmitter()) as WebSocket,
          headers: {},
          remoteAddress: ADDRESS,
        });
        socket.serve({
          receive: (text) => connection.receive(text),
          closed: () => {
            this.#sockets.delete(socket);
            connection.closed();
          },
        });
      },
      owner,
    );
    return socket;
  }

  /** An HTTP request: either it or its answer may be lost. */
  request<T>(
    site: string,
    databaseId: string,
    work: (service: CoordinatorService, client: ClientIdentity) => Promise<T>,
  ): Promise<T> {
    const { loop, random } = this.#options;
    const service = this.#service;
    const owner = this.#owner;
    return new Promise((resolve, reject) => {
      loop.at(REQUEST_TIMEOUT_MS, () => reject(new Error('no answer')), OUTSIDE);
      if (service === undefined || random.chance(REQUEST_LOST)) return;
      const answer = async () => {
        const siteId = textToSiteId(site);
        const transport = 'http';
        const identity = await service.admission.authenticate({
          siteId,
          databaseId,
          transport,
          headers: {},
        });
        return work(service, identity);
      };
      const tell = (outcome: () => void) => {
        if (!random.chance(REQUEST_LOST)) loop.at(random.next() * 20, outcome, OUTSIDE);
      };
      loop.at(
        random.next() * 20,
        () => {
          answer().then(
            (value) => tell(() => resolve(value)),
            (error: unknown) => tell(() => reject(error)),
          );
        },
        owner,
      );
    });
  }
}

function describe(value: unknown): string {
  return value instanceof Error ? `${value.stack} ${describe(value.cause)}` : String(value);
}
