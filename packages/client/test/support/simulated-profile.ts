/**
 * A browser's profile with several tabs, in one process: one store, locks and a channel, each of which
 * takes its time. A tab can be stopped, as a browser does with one that is hidden, and go on later as if
 * nothing had happened; or be killed.
 */

import type { ChannelLike, Environment, LocksLike, SocketLike } from '../../src/environment.ts';
import { createEnvironment } from '../../src/environment.ts';
import { createSyncClient, type SyncClient, type SyncClientOptions } from '../../src/index.ts';
import { MemoryStore } from '../../src/stores/memory.ts';
import {
  type ClientStore,
  type Condition,
  type StoredValue,
  StoreError,
  type StoreOperation,
} from '../../src/stores/store.ts';
import { Tabs } from '../../src/tabs.ts';
import { Socket } from './client.ts';

type Run = () => void;

interface Request {
  tab: SimulatedTab;
  grant(): void;
  /** For one that holds the lock: it is taken away. */
  lose(): void;
}

export class SimulatedProfile {
  readonly entries = new Map<string, StoredValue>();
  readonly random: () => number;
  readonly tabs = new Set<SimulatedTab>();
  /** All that was ever committed. */
  readonly committed: StoreOperation[] = [];
  /** How far the device's clock is ahead. */
  skewMs = 0;
  /** There is no room for what is committed. */
  isFull = false;
  readonly #locks = new Map<string, Request[]>();

  /** @param random from 0 up to 1; decides how long everything takes */
  constructor(random: () => number = () => 0) {
    this.random = random;
  }

  /** Opens a tab with a client. */
  open(options: Omit<SyncClientOptions, 'store'>): SimulatedTab {
    const tab = new SimulatedTab(this, options);
    this.tabs.add(tab);
    return tab;
  }

  delayMs(): number {
    return this.random() < 0.5 ? 0 : Math.floor(this.random() * 30);
  }

  /** The first of each list holds the lock. */
  request(
    tab: SimulatedTab,
    name: string,
    { ifAvailable = false, steal = false }: { ifAvailable?: boolean; steal?: boolean },
    hold: (lock: unknown) => unknown,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const requests = this.#locks.get(name) ?? [];
      this.#locks.set(name, requests);
      if (ifAvailable && requests.length > 0) {
        tab.later(() => resolve(hold(null)));
        return;
      }
      const request: Request = {
        tab,
        grant: () =>
          tab.later(async () => {
            await hold({ name });
            this.#release(name, request);
            resolve(undefined);
          }),
        lose: () => tab.later(() => reject(new DOMException('it was stolen', 'AbortError'))),
      };
      if (steal) {
        requests.shift()?.lose();
        requests.unshift(request);
      } else {
        requests.push(request);
      }
      if (requests[0] === request) request.grant();
    });
  }

  #release(name: string, request: Request): void {
    const requests = this.#locks.get(name) ?? [];
    const at = requests.indexOf(request);
    if (at === -1) return;
    requests.splice(at, 1);
    if (at === 0) requests[0]?.grant();
  }

  /** Frees all that a tab held. */
  remove(tab: SimulatedTab): void {
    this.tabs.delete(tab);
    for (const [name, requests] of this.#locks) {
      for (const request of requests.filter((request) => request.tab === tab)) {
        this.#release(name, request);
      }
    }
  }
}

export class SimulatedTab {
  readonly client: SyncClient;
  /** Its sockets that are open. */
  readonly sockets = new Set<SocketLike>();
  readonly channels = new Set<SimulatedChannel>();
  readonly profile: SimulatedProfile;
  #isStopped = false;
  #isKilled = false;
  #waiting: Run[] = [];

  constructor(profile: SimulatedProfile, options: Omit<SyncClientOptions, 'store'>) {
    this.profile = profile;
    this.client = createSyncClient({
      ...options,
      store: new SimulatedStore(this),
      environment: this.#environment(),
    });
  }

  /** Runs something in the tab: not while it is stopped, and never once it is killed. */
  run(work: Run): void {
    if (this.#isKilled) return;
    if (this.#isStopped) this.#waiting.push(work);
    else work();
  }

  later(work: Run, ms = this.profile.delayMs()): void {
    setTimeout(() => this.run(work), ms);
  }

  /** Resolves in the tab. */
  pause(): Promise<void> {
    return new Promise((resolve) => this.later(resolve));
  }

  /** From now on nothing runs in it, though it holds what it holds. */
  stop(): void {
    this.#isStopped = true;
  }

  goOn(): void {
    this.#isStopped = false;
    for (const work of this.#waiting.splice(0)) this.run(work);
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  kill(): void {
    this.#isKilled = true;
    for (const socket of this.sockets) socket.close();
    this.profile.remove(this);
  }

  async close(): Promise<void> {
    await this.client.close();
    this.profile.remove(this);
  }

  #environment(): Environment {
    const environment = createEnvironment({ WebSocket: Socket });
    const locks: LocksLike = {
      request: (...args) => this.profile.request(this, ...args),
    };
    return {
      ...environment,
      now: () => environment.now() + this.profile.skewMs,
      random: this.profile.random,
      locks,
      openChannel: () => new SimulatedChannel(this),
      after: (ms, run) => environment.after(ms, () => this.run(run)),
      openSocket: (url) => this.#openSocket(environment.openSocket(url)),
    };
  }

  #openSocket(socket: SocketLike): SocketLike {
    const outer: SocketLike = {
      onopen: null,
      onmessage: null,
      onclose: null,
      onerror: null,
      send: (text) => socket.send(text),
      close: (code, reason) => {
        this.sockets.delete(outer);
        socket.close(code, reason);
      },
    };
    this.sockets.add(outer);
    socket.onopen = () => this.run(() => outer.onopen?.());
    socket.onmessage = ({ data }) => this.run(() => outer.onmessage?.({ data }));
    socket.onerror = (event) => this.run(() => outer.onerror?.(event));
    socket.onclose = ({ code, reason }) => {
      this.sockets.delete(outer);
      this.run(() => outer.onclose?.({ code, reason }));
    };
    return outer;
  }
}

class SimulatedChannel implements ChannelLike {
  onmessage: ChannelLike['onmessage'] = null;
  readonly #tab: SimulatedTab;
  /** When what was sent to a tab last arrives there: order is kept between two of them. */
  readonly #arrivals = new Map<SimulatedChannel, Promise<void>>();

  constructor(tab: SimulatedTab) {
    this.#tab = tab;
    tab.channels.add(this);
  }

  postMessage(data: unknown): void {
    const text = JSON.stringify(data);
    for (const { channels } of this.#tab.profile.tabs) {
      for (const channel of channels) if (channel !== this) this.#send(channel, text);
    }
  }

  #send(channel: SimulatedChannel, text: string): void {
    const ms = this.#tab.profile.delayMs();
    const before = this.#arrivals.get(channel) ?? Promise.resolve();
    const passed = new Promise<void>((resolve) => setTimeout(resolve, ms));
    const arrived = Promise.all([before, passed]).then(() => {
      channel.#tab.run(() => channel.onmessage?.({ data: JSON.parse(text) }));
    });
    this.#arrivals.set(channel, arrived);
  }

  close(): void {
    this.#tab.channels.delete(this);
  }
}

/** What is given to it is on the disk after a while, whatever becomes of the tab until then. */
class SimulatedStore implements ClientStore {
  readonly openTabs: ClientStore['openTabs'] = (environment, port) =>
    new Tabs('profile', environment, port);
  readonly #tab: SimulatedTab;
  readonly #store: MemoryStore;

  constructor(tab: SimulatedTab) {
    this.#tab = tab;
    this.#store = new MemoryStore(tab.profile.entries);
  }

  async load(): Promise<Iterable<[key: string, value: StoredValue]>> {
    await this.#tab.pause();
    const entries = JSON.stringify([...(await this.#store.load())]);
    await this.#tab.pause();
    return JSON.parse(entries);
  }

  async commit(operations: readonly StoreOperation[], condition?: Condition): Promise<void> {
    const copy: StoreOperation[] = JSON.parse(JSON.stringify(operations));
    await this.#tab.pause();
    if (this.#tab.profile.isFull) throw new StoreError('STORE_FULL', 'simulated');
    await this.#store.commit(copy, condition);
    this.#tab.profile.committed.push(...copy);
    await this.#tab.pause();
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}
