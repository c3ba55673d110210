/** A browser that is driven by the commands of WebDriver, whatever carries them. */

import type { Profile, Tab } from './tab.ts';

/** Each is one of the standard's commands. */
export interface Driver {
  currentTab(): Promise<string>;
  openTab(): Promise<string>;
  switchTo(handle: string): Promise<unknown>;
  navigate(url: string): Promise<unknown>;
  back(): Promise<unknown>;
  reload(): Promise<unknown>;
  closeTab(): Promise<unknown>;
  /** Of a function's body. */
  run(script: string): Promise<unknown>;
  /** Kills the process of the current tab. */
  crash(): Promise<void>;
  /** Stops it. @returns lets it go on */
  stop?(): Promise<() => void>;
  end(): Promise<void>;
}

const POLL_MS = 10;
const TIMEOUT_MS = 60_000;

const pause = () => new Promise((resolve) => setTimeout(resolve, POLL_MS));

/** What a page answers: of a call that goes on, nothing yet. */
interface Answer {
  value?: unknown;
  error?: string;
}

/** One command after the other, each in the tab that it is for. */
class Session {
  readonly driver: Driver;
  readonly thrown: string[] = [];
  readonly tabs = new Set<DrivenTab>();
  #turn: Promise<unknown> = Promise.resolve();
  #current: string | undefined;

  constructor(driver: Driver) {
    this.driver = driver;
  }

  do<Result>(handle: string, work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(async () => {
      if (handle !== this.#current) {
        await this.driver.switchTo(handle);
        this.#current = handle;
      }
      return work();
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

class DrivenTab implements Tab {
  readonly #session: Session;
  readonly #handle: string;
  #calls = 0;

  constructor(session: Session, handle: string) {
    this.#session = session;
    this.#handle = handle;
  }

  #do<Result>(work: (driver: Driver) => Promise<Result>): Promise<Result> {
    return this.#session.do(this.#handle, () => work(this.#session.driver));
  }

  #run(script: string): Promise<unknown> {
    return this.#do((driver) => driver.run(script));
  }

  async show(url: string): Promise<void> {
    await this.#do((driver) => driver.navigate(url));
  }

  /** Asks again and again: a command that waits would hold up those for other tabs. */
  async evaluate<Result, Argument = undefined>(
    run: (argument: Argument) => Result | Promise<Result>,
    argument?: Argument,
  ): Promise<Result> {
    const call = `calls[${++this.#calls}]`;
    await this.#run(`
      const calls = (window.calls ??= {});
      window.__name ??= (value) => value;
      (async () => (${run})(${JSON.stringify(argument)}))().then(
        (value) => { ${call} = { value }; },
        (error) => { ${call} = { error: String(error) }; },
      );
    `);
    for (;;) {
      const answer = (await this.#run(
        `return window.calls === undefined ? { error: 'the page has gone' } : window.${call} ?? null;`,
      )) as Answer | null;
      if (answer?.error !== undefined) throw new Error(answer.error);
      if (answer !== null) return answer.value as Result;
      await pause();
    }
  }

  async waitForFunction<Argument = undefined>(
    isSo: (argument: Argument) => unknown,
    argument?: Argument,
  ): Promise<void> {
    const endsAt = performance.now() + TIMEOUT_MS;
    while (!(await this.evaluate(isSo, argument))) {
      if (performance.now() > endsAt) throw new Error(`it did not become so: ${isSo}`);
      await pause();
    }
  }

  async collect(): Promise<void> {
    this.#session.thrown.push(...((await this.#run('return window.uncaught;')) as string[]));
  }

  async reload(): Promise<void> {
    await this.collect();
    await this.#do((driver) => driver.reload());
  }

  async close(): Promise<void> {
    await this.collect();
    this.#session.tabs.delete(this);
    await this.#do((driver) => driver.closeTab());
  }

  async crash(): Promise<void> {
    this.#session.tabs.delete(this);
    await this.#do((driver) => driver.crash());
  }

  get stop(): Tab['stop'] {
    const { stop } = this.#session.driver;
    return stop && (() => this.#do(stop));
  }

  async leaveAndReturn(meanwhile: () => Promise<void>): Promise<void> {
    await this.#do((driver) => driver.navigate('about:blank'));
    await meanwhile();
    await this.#do((driver) => driver.back());
  }
}

export async function drivenProfile(driver: Driver, url: string): Promise<Profile> {
  const session = new Session(driver);
  // Stays, so that there is always one from which another can be opened.
  const first = await driver.currentTab();
  return {
    async open() {
      const handle = await session.do(first, () => driver.openTab());
      const tab = new DrivenTab(session, handle);
      session.tabs.add(tab);
      await tab.show(url);
      return tab;
    },
    async close() {
      try {
        for (const tab of session.tabs) await tab.collect();
        return session.thrown;
      } finally {
        await driver.end();
      }
    },
  };
}
