/**
 * A replica with the store that keeps it and the tabs that share it: all that is carried out goes into
 * memory at once, into the store in order, and from there to the other tabs. One of the tabs leads; a
 * tab that leads, or may have missed something, reads the store again.
 */

import type { HlcText } from '../../../../src/clock/hlc.ts';
import { SiteClock } from '../clock.ts';
import { ENDING, onPage } from '../connection/wake-ups.ts';
import type { ChangeSet } from '../protocol/messages.ts';
import { type StoreError, type StoreOperation, toStoreError } from '../stores/store.ts';
import type { Tabs, TabsPort } from '../tabs.ts';
import { difference } from './difference.ts';
import { FORMAT, generationPrefix, LEAD, META, type Meta, OUT, ROW } from './entries.ts';
import { GoneKeys } from './gone-keys.ts';
import { type OpeningOptions, readEntries } from './opening.ts';
import { Replica, type Touched } from './replica.ts';
import { StoreLog } from './store-log.ts';

export interface KeptReplicaPort extends Pick<TabsPort, 'heard' | 'status' | 'wish'> {
  /** Something was carried out. */
  changed(touched: Touched): void;
  /** Writes that other tabs have sent may have been answered. */
  othersAnswered(): void;
  /** There are writes that may be sent. */
  sendable(): void;
  /** The store can't be read or written; with `undefined`, it can again. */
  fault(fault: StoreError | undefined): void;
  /** This client is the one that connects. */
  lead(): void;
  /** Another one is. */
  follow(): void;
}

/** A store that can't be read is tried again after so long. */
const AGAIN_MS = 1_000;

export class KeptReplica {
  readonly replica: Replica;
  readonly #options: OpeningOptions;
  readonly #port: KeptReplicaPort;
  readonly #log: StoreLog;
  #tabs: Tabs | undefined;
  #clock: SiteClock | undefined;
  /** What is carried out while the store is read. */
  #meanwhile: StoreOperation[] | undefined;
  readonly #gone = new GoneKeys();
  /** Reads the store and begins to lead, one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #opening: Promise<void> | undefined;
  #isLoadDue = false;
  #isSuspended = false;
  #unwatch = () => {};
  #isClosed = false;

  constructor(options: OpeningOptions, port: KeptReplicaPort) {
    this.#options = options;
    this.#port = port;
    const { store, environment, databaseId } = options;
    this.replica = new Replica({ format: FORMAT, databaseId, siteId: '', generation: 0 });
    store.onFault = (fault) => {
      port.fault(fault);
      // Of no use for it any more; another tab may have what it takes.
      this.#suspend();
    };
    this.#log = new StoreLog(store, environment, {
      fault: port.fault,
      durable: ({ operations, term }) => {
        this.#tell(operations, term);
        port.sendable();
      },
      succeeded: () => this.#follow(),
    });
  }

  /** That of the site; missing until the store has been read. */
  get clock(): SiteClock | undefined {
    return this.#clock;
  }

  /** Missing where the store is not shared. */
  get tabs(): Tabs | undefined {
    return this.#tabs;
  }

  async open(): Promise<void> {
    const { store, environment } = this.#options;
    try {
      this.#tabs = store.openTabs?.(environment, this.#tabsPort());
      if (this.#tabs !== undefined) this.#watch();
      this.#opening = this.#enter();
      this.#turn = this.#opening.catch(() => undefined);
      await this.#opening;
    } catch (cause) {
      this.#isClosed = true;
      this.#tabs?.close();
      throw toStoreError(cause);
    }
    if (this.#tabs === undefined && !this.#isClosed) this.#port.lead();
  }

  async #enter(): Promise<void> {
    await this.#tabs?.join();
    await this.#load();
  }

  /** A tab that the browser puts aside must not lead, and has missed things when it is back. */
  #watch(): void {
    const { page } = this.#options.environment;
    if (page === undefined) return;
    this.#unwatch = onPage(page, [
      [ENDING, () => this.#suspend()],
      [['pageshow', 'resume'], () => this.#resume()],
    ]);
  }

  #suspend(): void {
    if (this.#tabs === undefined || this.#isSuspended) return;
    this.#tabs.leave();
    this.#log.term = undefined;
    this.#port.follow();
    this.#isSuspended = true;
  }

  #resume(): void {
    if (!this.#isSuspended) return;
    this.#isSuspended = false;
    this.#then(() => this.#enter());
  }

  #tabsPort(): TabsPort {
    const { heard, status, wish } = this.#port;
    return {
      heard,
      status,
      wish,
      lead: (term) => this.#then(() => this.#lead(term)),
      follow: () => this.#follow(),
      operations: (operations) => this.#hear(operations),
      missed: () => this.#reload(),
    };
  }

  #then(run: () => Promise<void>): void {
    this.#turn = this.#turn.then(() => this.#insist(run));
  }

  async #insist(run: () => Promise<void>): Promise<void> {
    for (let tries = 0; !this.#isClosed; tries++) {
      try {
        await run();
        if (tries > 0) this.#port.fault(undefined);
        return;
      } catch (cause) {
        if (this.#isClosed) return;
        this.#port.fault(toStoreError(cause));
        await new Promise<void>((resolve) => this.#options.environment.after(AGAIN_MS, resolve));
      }
    }
  }

  #reload(): void {
    if (this.#isLoadDue) return;
    this.#isLoadDue = true;
    this.#then(() => {
      this.#isLoadDue = false;
      return this.#load();
    });
  }

  /** Makes the replica what the store holds, and what is not written yet. */
  async #load(): Promise<void> {
    this.#meanwhile = this.#log.unwritten();
    try {
      const entries = await readEntries(this.#options);
      this.#changed([...difference(this.replica, entries), ...this.#meanwhile]);
    } finally {
      this.#meanwhile = undefined;
    }
    this.#clock ??= new SiteClock(this.replica.meta.siteId, () => this.#options.environment.now());
    this.observe();
    this.#port.sendable();
    this.#port.othersAnswered();
  }

  /** Lets the clock go on behind all that is known. */
  observe(): void {
    const { seen } = this.replica.meta;
    if (seen !== undefined) this.#clock?.observe(seen);
    for (const hlc of this.replica.outbox.keys()) this.#clock?.observe(hlc);
  }

  /** Writes without an answer that are durable. */
  sendable(): [hlc: HlcText, changeSet: ChangeSet][] {
    const unwritten = new Set<unknown>();
    for (const operation of this.#log.unwritten()) {
      if (operation.type === 'put') unwritten.add(operation.key);
    }
    return [...this.replica.outbox].filter(([hlc]) => !unwritten.has(OUT + hlc));
  }

  async #lead(term: string): Promise<void> {
    const isOver = () => this.#isClosed || this.#tabs?.term !== term;
    if (isOver()) return;
    // From here on no other tab writes what a leader may write: what is read then is all.
    await this.#log.write([{ type: 'put', key: LEAD, value: term }]);
    if (isOver()) return;
    this.#log.term = term;
    await this.#load();
    if (!isOver()) this.#port.lead();
  }

  #follow(): void {
    this.#log.term = undefined;
    this.#port.follow();
    this.#reload();
  }

  /** Takes operations into memory at once. @returns resolves when they are durable */
  commit(operations: StoreOperation[]): Promise<void> {
    return this.#commit(operations, undefined);
  }

  /** The same for what only the leader may write: it never resolves where another tab leads meanwhile. */
  commitAsLeader(operations: StoreOperation[]): Promise<void> {
    const { term } = this.#log;
    if (this.#tabs !== undefined && term === undefined) return new Promise(() => {});
    return this.#commit(operations, term);
  }

  #commit(operations: StoreOperation[], term: string | undefined): Promise<void> {
    if (operations.length === 0) return Promise.resolve();
    const durable = this.#log.write(operations, term);
    this.#carryOut(operations);
    return durable;
  }

  /** Rows that are not shown yet are read by the others when they are. */
  #tell(operations: readonly StoreOperation[], term: string | undefined): void {
    if (this.#tabs === undefined) return;
    const shown = generationPrefix(this.replica.meta.generation);
    const told = operations.filter(({ type, ...rest }) => {
      const name = 'key' in rest ? rest.key : '';
      return type !== 'put' || !name.startsWith(ROW) || name.startsWith(shown);
    });
    this.#tabs.tell(told, term);
  }

  /** Operations of another tab. */
  #hear(operations: StoreOperation[]): void {
    const { generation } = this.replica.meta;
    const heard: StoreOperation[] = [];
    let isOther = false;
    for (const operation of operations) {
      if (this.#gone.isLate(operation)) continue;
      heard.push(operation);
      if (operation.type === 'put' && operation.key === META) {
        isOther = (operation.value as Meta).generation !== generation;
      }
    }
    // What is stored is not read yet: these come on top of it.
    if (this.#clock === undefined) {
      for (const operation of heard) this.#meanwhile?.push(operation);
      return;
    }
    if (isOther) {
      this.#reload();
      return;
    }
    this.#carryOut(heard);
    this.observe();
    this.#port.sendable();
    this.#port.othersAnswered();
  }

  #carryOut(operations: readonly StoreOperation[]): void {
    for (const operation of operations) this.#meanwhile?.push(operation);
    this.#changed(operations);
  }

  #changed(operations: readonly StoreOperation[]): void {
    if (this.#tabs !== undefined) this.#gone.observe(operations);
    this.#port.changed(this.replica.apply(operations));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#unwatch();
    await this.#opening?.catch(() => undefined);
    await this.#log.close();
    this.#tabs?.close();
  }
}
