/** Chromium as the tests see it, driven by Playwright. */

import type { BrowserContext, CDPSession, Page } from 'playwright-core';
import { launchChromium, openContext } from './chromium.ts';
import type { BrowserProgram, Tab } from './tab.ts';

const ROOM_BYTES = 1_000_000;

class ChromiumTab implements Tab {
  readonly #page: Page;

  constructor(page: Page) {
    this.#page = page;
  }

  evaluate<Result, Argument = undefined>(
    run: (argument: Argument) => Result | Promise<Result>,
    argument?: Argument,
  ): Promise<Result> {
    return this.#page.evaluate(run as never, argument) as Promise<Result>;
  }

  async waitForFunction<Argument = undefined>(
    isSo: (argument: Argument) => unknown,
    argument?: Argument,
  ): Promise<void> {
    await this.#page.waitForFunction(isSo as never, argument);
  }

  async reload(): Promise<void> {
    await this.#page.reload();
  }

  close(): Promise<void> {
    return this.#page.close();
  }

  async crash(): Promise<void> {
    const devtools = await this.#devtools();
    const crashed = this.#page.waitForEvent('crash');
    devtools.send('Page.crash').catch(() => undefined);
    await crashed;
  }

  /** Without a window Chromium keeps no page that was left: it is told so, and stopped in between. */
  async leaveAndReturn(meanwhile: () => Promise<void>): Promise<void> {
    const devtools = await this.#devtools();
    const tell = (event: string) =>
      this.#page.evaluate(
        (event) => dispatchEvent(new PageTransitionEvent(event, { persisted: true })),
        event,
      );
    await tell('pagehide');
    await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
    await meanwhile();
    await devtools.send('Page.setWebLifecycleState', { state: 'active' });
    await tell('pageshow');
  }

  #devtools(): Promise<CDPSession> {
    return this.#page.context().newCDPSession(this.#page);
  }
}

async function limitRoom(context: BrowserContext, url: string): Promise<void> {
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  const { origin } = new URL(url);
  await devtools.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: ROOM_BYTES });
}

export async function launchChromiumProgram(): Promise<BrowserProgram> {
  const browser = await launchChromium();
  return {
    async profile(url, { hasLittleRoom }) {
      const { context, thrown } = await openContext(browser);
      if (hasLittleRoom) await limitRoom(context, url);
      return {
        async open() {
          const page = await context.newPage();
          await page.goto(url, { waitUntil: 'load' });
          return new ChromiumTab(page);
        },
        async close() {
          await context.close();
          return thrown;
        },
      };
    },
    close: () => browser.close(),
  };
}
