/**
 * A replica with the store that keeps it and the tabs that share it: all that is carried out goes into
 * memory at once, into the store in order, and from there to the other tabs. One of the tabs leads; a
 * tab that leads, or may have missed something, reads the store again.
 */

import type { HlcText } from '../../../../src/clock/hlc.ts';
import { SiteClock } from '../clock.ts';
import { ENDING, onPage } from '../connection/wake-ups.ts';
import type { ChangeSet } from '../protocol/messages.ts';
import type { StoreError, StoreOperation } from '../stores/store.ts';
import type { Tabs, TabsPort } from '../tabs.ts';
import { difference } from './difference.ts';
import { entryOf, FORMAT, LEAD, META, type Meta, OUT, PAGE, ROW, splitKey } from './entries.ts';
import { GoneKeys } from './gone-keys.ts';
import { adopt, createMeta, type OpeningOptions, readEntries } from './opening.ts';
import { packed } from './pages.ts';
import { Replica, type Touched } from './replica.ts';
import { StoreLog } from './store-log.ts';
import { Turns } from './turns.ts';

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

export class KeptReplica {
  readonly replica: Replica;
  /** That of the site; missing until the replica is there. */
  clock: SiteClock | undefined;
  /** Missing where the store is not shared. */
  tabs: Tabs | undefined;
  #options: OpeningOptions;
  readonly #port: KeptReplicaPort;
  readonly #log: StoreLog;
  /** What is carried out while the store is read. */
  #meanwhile: StoreOperation[] | undefined;
  readonly #gone = new GoneKeys();
  /** Reads the store and begins to lead. */
  readonly #turns: Turns;
  #opening: Promise<void> | undefined;
  #isLoaded = false;
  #isLoadDue = false;
  #isSuspended = false;
  #unwatch = () => {};
  #isClosed = false;

  constructor(options: OpeningOptions, port: KeptReplicaPort) {
    this.#options = options;
    this.#port = port;
    const { store, environment, databaseId } = options;
    this.replica = new Replica({ format: FORMAT, databaseId, siteId: '', generation: 0 });
    this.#turns = new Turns(environment, port.fault);
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
      succeeded: () => this.#succeeded(),
    });
  }

  /**
   * Resolves when the replica is there.
   * @throws StoreError where there may be one that can't be read, or that another client works on
   */
  open(): Promise<void> {
    let joining: Promise<void> | undefined;
    this.#opening = new Promise((resolve, reject) => {
      const enter = async () => {
        this.tabs ??= this.#openTabs();
        joining ??= this.tabs?.join();
        await joining;
        await this.#load();
        if (this.tabs === undefined && !this.#isClosed) this.#port.lead();
        resolve();
      };
      this.#turns.add(enter, (fault) => {
        this.#log.fault = fault;
        if (this.clock !== undefined) return;
        if (fault.code === 'STORE_FULL') {
          this.#beginInMemory();
          resolve();
          return;
        }
        this.#isClosed = true;
        this.#turns.close();
        this.tabs?.close();
        reject(fault);
      });
    });
    return this.#opening;
  }

  /** Where there is no room for a new replica it is in memory until there is. */
  #beginInMemory(): void {
    const value = createMeta(this.#options);
    this.#options = { ...this.#options, siteId: value.siteId };
    this.#changed([entryOf(META, value)]);
    this.clock = this.#createClock();
  }

  #createClock(siteId = this.replica.meta.siteId): SiteClock {
    return new SiteClock(siteId, () => this.#options.environment.now());
  }

  #openTabs(): Tabs | undefined {
    const { store, environment } = this.#options;
    const tabs = this.#isClosed ? undefined : store.openTabs?.(environment, this.#tabsPort());
    // One that the browser puts aside must not lead, and has missed things when it is back.
    if (tabs !== undefined && environment.page !== undefined) {
      this.#unwatch = onPage(environment.page, [
        [ENDING, () => this.#suspend()],
        [['pageshow', 'resume'], () => this.#resume()],
      ]);
    }
    return tabs;
  }

  #suspend(): void {
    if (this.tabs === undefined || this.#isSuspended) return;
    this.tabs.leave();
    this.#log.term = undefined;
    this.#port.follow();
    this.#isSuspended = true;
  }

  #resume(): void {
    if (!this.#isSuspended) return;
    this.#isSuspended = false;
    this.#turns.add(async () => {
      await this.tabs?.join();
      await this.#load();
    });
  }

  #tabsPort(): TabsPort {
    return {
      ...this.#port,
      lead: (term) => this.#turns.add(() => this.#lead(term)),
      follow: () => this.#follow(),
      operations: (operations) => this.#hear(operations),
      missed: () => this.#reload(),
      outbox: () => {
        const { outbox } = this.replica;
        return `${outbox.size} ${[...outbox.keys()].sort().at(-1)}`;
      },
    };
  }

  #reload(): void {
    if (this.#isLoadDue) return;
    this.#isLoadDue = true;
    this.#turns.add(() => {
      this.#isLoadDue = false;
      return this.#load();
    });
  }

  /** Makes the replica what the store holds, and what is not written yet. */
  async #load(): Promise<void> {
    if (this.#isClosed) return;
    this.#meanwhile = this.#unwritten();
    try {
      const { meta, entries, paged } = await readEntries(this.#options);
      if (this.clock !== undefined && meta.siteId !== this.replica.meta.siteId) {
        this.clock = this.#createClock(meta.siteId);
        adopt(this.#log, meta.siteId, this.clock, entries, this.tabs?.number);
        this.#meanwhile = this.#unwritten();
      }
      this.replica.paged = paged;
      this.#changed([...difference(this.replica, entries), ...this.#meanwhile]);
    } finally {
      this.#meanwhile = undefined;
    }
    this.clock ??= this.#createClock();
    this.#isLoaded = true;
    this.observe();
    this.#log.start();
    this.tabs?.tellOutbox();
    this.#port.sendable();
    this.#port.othersAnswered();
  }

  /** Of what is stored already, and only this tab does not know so, a leader may have deleted some. */
  #unwritten(): StoreOperation[] {
    return this.#log.unwritten().filter((operation) => !this.#gone.isLate(operation));
  }

  /** Lets the clock go on behind all that is known. */
  observe(): void {
    const { seen } = this.replica.meta;
    if (seen !== undefined) this.clock?.observe(seen);
    for (const hlc of this.replica.outbox.keys()) this.clock?.observe(hlc);
  }

  /** Writes without an answer that are durable. */
  sendable(): [hlc: HlcText, changeSet: ChangeSet][] {
    const operations = this.#log.unwritten();
    const unwritten = new Set(operations.map((each) => each.type === 'put' && each.key));
    return [...this.replica.outbox].filter(([hlc]) => !unwritten.has(OUT + hlc));
  }

  async #lead(term: string): Promise<void> {
    const isOver = () => this.#isClosed || this.tabs?.term !== term;
    if (isOver()) return;
    // From here on no other tab writes what a leader may write: what is read then is all.
    await this.#log.write([entryOf(LEAD, term)]);
    if (isOver()) return;
    this.#log.term = term;
    await this.#load();
    if (!isOver()) this.#port.lead();
  }

  /** Another tab has written that it leads. */
  #succeeded(): void {
    this.#follow();
    // This one has the lock: the other had been stopped, and will learn that it lost it.
    const term = this.tabs?.term;
    if (term !== undefined) this.#turns.add(() => this.#lead(term));
  }

  #follow(): void {
    this.#log.term = undefined;
    this.#port.follow();
    this.#reload();
  }

  /** The same for what only the leader may write: it never resolves where another tab leads meanwhile. */
  commitAsLeader(operations: StoreOperation[]): Promise<void> {
    const { term } = this.#log;
    if (this.tabs !== undefined && term === undefined) return new Promise(() => {});
    return this.commit(operations, term);
  }

  /**
   * Takes operations into memory at once. Resolves when they are durable.
   * @param term of the leader, where they count only while it leads
   */
  commit(operations: StoreOperation[], term?: string): Promise<void> {
    if (operations.length === 0) return Promise.resolve();
    const { replica } = this;
    const stored = packed(operations, replica.paged, (key) => replica.has(key));
    const durable = this.#log.write(stored, term);
    this.#carryOut(operations, stored);
    return durable;
  }

  /** Rows that are not shown yet are read by the others when they are. */
  #tell(operations: readonly StoreOperation[], term: string | undefined): void {
    if (this.tabs === undefined) return;
    const { generation } = this.replica.meta;
    const isOfRows = (key: string) => key.startsWith(ROW) || key.startsWith(PAGE);
    const told = operations.filter(
      (each) =>
        each.type !== 'put' || !isOfRows(each.key) || splitKey(each.key).generation === generation,
    );
    this.tabs.tell(told, term);
  }

  /** A tab that was stopped tells late what it has written. Tabs that are new don't know that it is gone. */
  #tellGone(operations: readonly StoreOperation[]): void {
    const { term } = this.#log;
    if (term === undefined) return;
    const deletions = operations.flatMap((each) =>
      each.type === 'put' && this.#gone.isLate(each) ? entryOf(each.key) : [],
    );
    this.#tell(deletions, term);
  }

  /** Operations of another tab. */
  #hear(operations: StoreOperation[]): void {
    const { generation } = this.replica.meta;
    const heard = operations.filter((operation) => !this.#gone.isLate(operation));
    if (heard.length < operations.length) this.#tellGone(operations);
    const isOther = heard.some(
      (each) =>
        each.type === 'put' && each.key === META && (each.value as Meta).generation !== generation,
    );
    // What is stored is not read yet: these come on top of it.
    if (!this.#isLoaded) {
      this.#meanwhile?.push(...heard);
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

  /** @param stored the same as they are stored */
  #carryOut(operations: readonly StoreOperation[], stored = operations): void {
    for (const each of stored) this.#meanwhile?.push(each);
    this.#changed(operations);
  }

  #changed(operations: readonly StoreOperation[]): void {
    if (this.tabs !== undefined) this.#gone.observe(operations);
    this.#port.changed(this.replica.apply(operations));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#turns.close();
    this.#unwatch();
    await this.#opening?.catch(() => undefined);
    try {
      await this.#log.close();
    } finally {
      this.tabs?.close();
    }
  }
}
