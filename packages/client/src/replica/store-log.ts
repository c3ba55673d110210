/**
 * Writes a replica's operations to its store, one batch after the other: those that come while the
 * store is busy go together in the next one. What the store can't take is tried again, in order and in
 * smaller batches, and nothing behind it is written before.
 *
 * In a store that tabs share, what the leader alone may write is written under the condition that it
 * still leads: a tab that was stopped, and goes on without knowing that another one leads, can't undo
 * what that one has written.
 */

import type { Environment } from '../environment.ts';
import {
  type ClientStore,
  StoreError,
  type StoreOperation,
  toStoreError,
} from '../stores/store.ts';
import { LEAD } from './entries.ts';

/** Operations that are there together or not at all. */
export interface OperationGroup {
  operations: StoreOperation[];
  /** That of the leader, for what only a leader may write. */
  term: string | undefined;
}

interface PendingGroup extends OperationGroup {
  durable: Promise<void>;
  resolve(): void;
}

export interface StoreLogPort {
  /** The store can't be written; with `undefined`, it can again. */
  fault(fault: StoreError | undefined): void;
  durable(group: OperationGroup): void;
  /** Another tab leads. What was written as a leader, and is not durable, never will be. */
  succeeded(): void;
}

const AGAIN_MS = [250, 1_000, 5_000];

export class StoreLog {
  readonly #store: ClientStore;
  readonly #environment: Environment;
  readonly #port: StoreLogPort;
  #next: PendingGroup[] = [];
  #writing: PendingGroup[] = [];
  #running: Promise<void> | undefined;
  /** At most so many go together. */
  #groupsMax = Number.POSITIVE_INFINITY;
  #isStarted = false;
  #isClosed = false;
  /** Why nothing can be written, until it can: by a try of this log, or by one to open the store. */
  fault: StoreError | undefined;
  /** Ends the pause before the next try. */
  #hurry = () => {};
  /** That of this tab while it leads. */
  term: string | undefined;

  constructor(store: ClientStore, environment: Environment, port: StoreLogPort) {
    this.#store = store;
    this.#environment = environment;
    this.#port = port;
  }

  /**
   * Resolves when the operations are durable, which may be never.
   * @param term for operations that count only while it is the leader's
   */
  write(operations: readonly StoreOperation[], term?: string): Promise<void> {
    const group = createGroup(operations, term);
    this.#next.push(group);
    if (this.#isStarted) this.#running ??= this.#run();
    return group.durable;
  }

  /** Writes from now on: nothing is written to a store that has not been read. */
  start(): void {
    this.#isStarted = true;
    this.#running ??= this.#run();
  }

  /** Before the start: changes what will be written. */
  replace(replacementOf: (operation: StoreOperation) => StoreOperation): void {
    for (const group of this.#next) group.operations = group.operations.map(replacementOf);
  }

  /** What is not durable yet, in order. */
  unwritten(): StoreOperation[] {
    return this.#valid([...this.#writing, ...this.#next]).flatMap(({ operations }) => operations);
  }

  #valid(groups: readonly PendingGroup[]): PendingGroup[] {
    return groups.filter(({ term }) => term === undefined || term === this.term);
  }

  async #run(): Promise<void> {
    // Writes of one turn of the loop go together.
    await Promise.resolve();
    while (this.#next.length > 0) {
      this.#writing = this.#next.splice(0, this.#groupsMax);
      if (!(await this.#commit())) return;
      this.#groupsMax *= 2;
      const groups = this.#writing;
      this.#writing = [];
      for (const { resolve } of groups) resolve();
      for (const joined of join(groups)) {
        try {
          this.#port.durable(joined);
        } catch (error) {
          // Told where uncaught errors are told: what is behind it is written all the same.
          void Promise.reject(error);
        }
      }
    }
    this.#running = undefined;
  }

  /** @returns whether what is being written is durable; not if the log was closed before it could be */
  async #commit(): Promise<boolean> {
    for (let pauses = 0; ; ) {
      const isLast = this.#isClosed;
      try {
        await this.#tryCommit();
        if (this.fault !== undefined) this.#port.fault(undefined);
        this.fault = undefined;
        return true;
      } catch (cause) {
        const fault = toStoreError(cause);
        if (fault.code === 'STORE_TAKEN') {
          this.term = undefined;
          this.#port.succeeded();
          continue;
        }
        if (this.#writing.length > 1) {
          // All of it may be too large for what takes a part.
          this.#groupsMax = Math.ceil(this.#writing.length / 2);
          this.#next = [...this.#writing.splice(this.#groupsMax), ...this.#next];
          continue;
        }
        this.fault = fault;
        this.#port.fault(fault);
        if (isLast) return false;
        await this.#pause(AGAIN_MS[Math.min(pauses++, AGAIN_MS.length - 1)] ?? 0);
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    if (this.#isClosed) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#environment.after(ms, resolve);
      this.#hurry = () => {
        cancel();
        resolve();
      };
    });
  }

  async #tryCommit(): Promise<void> {
    this.#writing = this.#valid(this.#writing);
    const [first, ...more] = this.#writing;
    if (first === undefined) return;
    const operations =
      more.length === 0 ? first.operations : this.#writing.flatMap((group) => group.operations);
    const isLeaders = this.#writing.some(({ term }) => term !== undefined);
    await this.#store.commit(operations, isLeaders ? { key: LEAD, value: this.term } : undefined);
  }

  /**
   * Ends once what was written is durable.
   * @throws StoreError when it is not, by one more try
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#hurry();
    await this.#running;
    await this.#store.close();
    if (this.unwritten().length === 0) return;
    throw this.fault ?? new StoreError('STORE_UNAVAILABLE', 'closed before it could be written');
  }
}

/** @returns those that follow each other with the same term as one */
function join(groups: readonly OperationGroup[]): OperationGroup[] {
  const joined: OperationGroup[] = [];
  for (const { operations, term } of groups) {
    const last = joined.at(-1);
    if (last === undefined || last.term !== term)
      joined.push({ operations: [...operations], term });
    else for (const operation of operations) last.operations.push(operation);
  }
  return joined;
}

function createGroup(
  operations: readonly StoreOperation[],
  term: string | undefined,
): PendingGroup {
  let resolve = () => {};
  const durable = new Promise<void>((done) => {
    resolve = done;
  });
  return { operations: [...operations], term, durable, resolve };
}
