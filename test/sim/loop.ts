/**
 * Time in a simulation, and whatever happens in it: one task after the other, each followed
 * by all the promises that it settled. It stands in for the timers and the clock of the process,
 * so that an hour takes no longer than what is done in it.
 *
 * A task belongs to who started it: when a process is killed, nothing of it happens any more.
 */

import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers/promises';

interface Task {
  atMs: number;
  order: number;
  owner: string;
  run: () => void;
  cancelled: boolean;
}

const realSetImmediate = globalThis.setImmediate;
const TASKS_A_TURN = 64;

export const OUTSIDE = 'outside';

export class Loop {
  nowMs: number;
  /** Whose task is running. */
  owner = OUTSIDE;
  /** Tasks that were run. */
  steps = 0;
  #tasks: Task[] = [];
  #orders = 0;

  constructor(nowMs: number) {
    this.nowMs = nowMs;
  }

  at(delayMs: number, run: () => void, owner = this.owner): { cancel(): void } {
    const atMs = this.nowMs + Math.max(0, delayMs);
    const task: Task = { atMs, order: this.#orders++, owner, run, cancelled: false };
    this.#push(task);
    return {
      cancel() {
        task.cancelled = true;
      },
    };
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.at(delayMs, resolve));
  }

  /** Nothing that `owner` has started, or will yet start, happens. */
  kill(owner: string): void {
    for (const task of this.#tasks) if (task.owner === owner) task.cancelled = true;
  }

  /** Time in which nobody runs, as when a computer is suspended: what falls due meanwhile comes late. */
  skip(ms: number): void {
    this.nowMs += ms;
  }

  /** Runs until `untilMs`, or until nothing is left to do. */
  async run(untilMs: number): Promise<void> {
    let isDone = false;
    const runNext = () => {
      const task = isDone ? undefined : this.#next(untilMs);
      isDone = task === undefined;
      if (task === undefined) return;
      // After time was skipped it is late.
      this.nowMs = Math.max(this.nowMs, task.atMs);
      this.owner = task.owner;
      this.steps++;
      task.run();
    };
    while (!isDone) {
      // Between two immediates happens everything that the first has settled, and what that settles in
      // turn. Many are asked for at once: a turn of the process's own loop costs as much as a task.
      await new Promise<void>((resolve, reject) => {
        const runOrEnd = () => {
          try {
            runNext();
          } catch (error) {
            isDone = true;
            reject(error);
          }
        };
        for (let i = 0; i < TASKS_A_TURN; i++) realSetImmediate(runOrEnd);
        realSetImmediate(resolve);
      });
      this.owner = OUTSIDE;
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
  }

  /** Takes out what is to be done next, if it is to be done by then. */
  #next(untilMs: number): Task | undefined {
    for (;;) {
      const task = this.#tasks[0];
      if (task === undefined || task.atMs > untilMs) return undefined;
      this.#pop();
      if (!task.cancelled) return task;
    }
  }

  /** Puts itself in the place of the process's timers and clock. @returns takes them back */
  install(): () => void {
    const before = {
      setTimeout: globalThis.setTimeout,
      clearTimeout: globalThis.clearTimeout,
      setInterval: globalThis.setInterval,
      clearInterval: globalThis.clearInterval,
      setImmediate: globalThis.setImmediate,
    };
    const dateNow = Date.now;
    const { setTimeout: sleep } = timers;
    const cancel = (timer: { cancel?(): void } | undefined) => timer?.cancel?.();
    Object.assign(globalThis, {
      setTimeout: (run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) =>
        toTimer(this.at(ms, () => run(...args))),
      setInterval: (run: () => void, ms = 0) => this.#interval(run, ms),
      setImmediate: (run: (...args: unknown[]) => void, ...args: unknown[]) =>
        toTimer(this.at(0, () => run(...args))),
      clearTimeout: cancel,
      clearInterval: cancel,
    });
    Date.now = () => Math.floor(this.nowMs);
    Object.assign(timers, { setTimeout: (ms = 0) => this.sleep(ms) });
    syncBuiltinESMExports();
    return () => {
      Object.assign(globalThis, before);
      Date.now = dateNow;
      Object.assign(timers, { setTimeout: sleep });
      syncBuiltinESMExports();
    };
  }

  #interval(run: () => void, ms: number): object {
    let next = { cancel() {} };
    const again = () => {
      next = this.at(ms, () => {
        again();
        run();
      });
    };
    again();
    return toTimer({ cancel: () => next.cancel() });
  }

  /** A binary heap: the earliest task first, then the one that was asked for first. */
  #push(task: Task): void {
    const tasks = this.#tasks;
    let index = tasks.push(task) - 1;
    while (index > 0) {
      const above = (index - 1) >> 1;
      if (!isBefore(task, tasks[above] as Task)) break;
      tasks[index] = tasks[above] as Task;
      index = above;
    }
    tasks[index] = task;
  }

  #pop(): void {
    const tasks = this.#tasks;
    const last = tasks.pop();
    if (last === undefined || tasks.length === 0) return;
    let index = 0;
    for (;;) {
      let below = 2 * index + 1;
      if (below >= tasks.length) break;
      if (below + 1 < tasks.length && isBefore(tasks[below + 1] as Task, tasks[below] as Task)) {
        below++;
      }
      if (!isBefore(tasks[below] as Task, last)) break;
      tasks[index] = tasks[below] as Task;
      index = below;
    }
    tasks[index] = last;
  }
}

/** As Node's own: `setInterval(…).unref()` is what is kept, to be cleared. */
function toTimer({ cancel }: { cancel(): void }): object {
  const timer = { cancel, unref: () => timer, ref: () => timer };
  return timer;
}

function isBefore(a: Task, b: Task): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
