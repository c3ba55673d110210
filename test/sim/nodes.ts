/**
 * The coordinators of a simulation behind one address, as behind a load balancer that knows of no
 * sessions: whoever connects or asks gets to any of them, also to one that is down.
 */

import type { ClientIdentity } from '../../src/hooks/types.ts';
import type { CoordinatorService } from '../../src/service/coordinator-service.ts';
import type { Loop } from './loop.ts';
import type { DeviceEnd, SimSocket } from './network.ts';
import type { Random } from './random.ts';
import { SimServer, type SimServerOptions } from './server.ts';

/** How far the clocks of nodes are apart. */
const CLOCKS_APART_MS = 300;
const RESTART_MS = 300;

export class Nodes {
  kills = 0;
  readonly #servers: SimServer[];
  readonly #loop: Loop;
  readonly #random: Random;
  #skewMs = 0;

  constructor(count: number, options: Omit<SimServerOptions, 'number'>) {
    this.#loop = options.loop;
    this.#random = options.random;
    this.#servers = Array.from(
      { length: count },
      (_, number) => new SimServer({ ...options, number }),
    );
  }

  /** What went wrong in them that should not have. */
  get loggedErrors(): string[] {
    return this.#servers.flatMap(({ loggedErrors }) => loggedErrors);
  }

  /** How far their clocks are off, about, in milliseconds. */
  get skewMs(): number {
    return this.#skewMs;
  }

  set skewMs(skewMs: number) {
    this.#skewMs = skewMs;
    for (const server of this.#servers) {
      server.skewMs = skewMs + (this.#isAlone ? 0 : this.#random.integer(0, CLOCKS_APART_MS));
    }
  }

  get #isAlone(): boolean {
    return this.#servers.length === 1;
  }

  #any(): SimServer {
    const [first] = this.#servers;
    return this.#isAlone && first !== undefined ? first : this.#random.pick(this.#servers);
  }

  /** All that are down. */
  start(): void {
    for (const server of this.#servers) if (!server.isUp) server.start();
  }

  #startSoon(server: SimServer, delayMs: number): void {
    this.#loop.at(delayMs, () => {
      if (!server.isUp) server.start();
    });
  }

  /** Ends one at once, and starts it again. */
  kill(): void {
    const server = this.#any();
    if (!server.isUp) return;
    this.kills++;
    server.kill();
    this.#startSoon(server, this.#random.integer(1, RESTART_MS));
  }

  /** Lets one come to its end, and starts it again. */
  stop(): void {
    const server = this.#any();
    if (server.isUp) server.stop().then(() => this.#startSoon(server, 10));
  }

  tidyUp(databaseIds: readonly string[]): void {
    for (const databaseId of databaseIds) this.#any().tidyUp(databaseId);
  }

  /** @returns `undefined` if it got to one that is down */
  connect(device: DeviceEnd): SimSocket | undefined {
    return this.#any().connect(device);
  }

  request<T>(
    site: string,
    databaseId: string,
    work: (service: CoordinatorService, client: ClientIdentity) => Promise<T>,
  ): Promise<T> {
    return this.#any().request(site, databaseId, work);
  }
}
