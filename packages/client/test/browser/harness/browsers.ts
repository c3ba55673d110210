/** The browsers that the tests run in, and in what they differ for a test. */

import { launchChromiumProgram } from './chromium-tab.ts';
import { launchFirefox } from './firefox.ts';
import type { BrowserProgram } from './tab.ts';
import { launchWebKit } from './webkit.ts';

/** What a test may need that not every browser lets a test do. */
export type Need = 'crash' | 'room' | 'return';

interface Kind {
  launch(): Promise<BrowserProgram>;
  /** What can't be had, and why. */
  lacks: Partial<Record<Need, string>>;
}

const KINDS: Readonly<Record<string, Kind>> = {
  /** `leaveAndReturn` is played: without a window it keeps no page that was left. */
  chromium: { launch: launchChromiumProgram, lacks: {} },
  firefox: {
    launch: launchFirefox,
    lacks: { return: 'it keeps no page that had a socket or a lock when it was left' },
  },
  webkit: {
    launch: launchWebKit,
    lacks: {
      crash: 'nothing tells which process runs which tab',
      room: 'no setting limits what a site may store',
    },
  },
};

/** `TEST_BROWSER` names another one than that which `npm test` has from npm. */
export function chosenBrowser(): Kind {
  const { TEST_BROWSER: name = 'chromium' } = process.env;
  const kind = KINDS[name];
  if (kind === undefined) {
    throw new Error(`TEST_BROWSER=${name}: there are ${Object.keys(KINDS).join(', ')}`);
  }
  return kind;
}
