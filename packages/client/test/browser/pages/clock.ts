/** Time that a test moves on: what was to happen in a while happens at once, and the clock says so. */

interface Timer {
  at: number;
  run(): void;
  real: ReturnType<typeof setTimeout>;
}

const real = {
  now: Date.now,
  setTimeout: setTimeout.bind(globalThis),
  clearTimeout: clearTimeout.bind(globalThis),
};
const timers = new Map<unknown, Timer>();
let ahead = 0;

export const clock = {
  install(): void {
    Date.now = () => real.now() + ahead;
    globalThis.setTimeout = ((work: () => void, ms = 0) => {
      const run = () => {
        timers.delete(timer);
        work();
      };
      const timer = real.setTimeout(run, ms);
      timers.set(timer, { at: Date.now() + ms, run, real: timer });
      return timer;
    }) as typeof setTimeout;
    globalThis.clearTimeout = ((timer: ReturnType<typeof setTimeout>) => {
      timers.delete(timer);
      real.clearTimeout(timer);
    }) as typeof clearTimeout;
  },
  /** Runs each timer that is due by then, once. */
  advance(ms: number): void {
    ahead += ms;
    const due = [...timers.values()].filter(({ at }) => at <= Date.now());
    for (const { real: timer, run } of due.sort((a, b) => a.at - b.at)) {
      real.clearTimeout(timer);
      run();
    }
  },
};
