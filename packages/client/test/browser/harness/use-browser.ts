/**
 * One browser for all tests of a process. Each test has profiles of its own, and what a page throws
 * fails the test.
 */

import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { TestOwner } from '../../../../../src/testing/index.ts';
import { chosenBrowser, type Need } from './browsers.ts';
import { type PageServer, servePage } from './page-server.ts';
import type { BrowserProgram, Profile, ProfileOptions, Tab } from './tab.ts';

export interface TestBrowser {
  profile(owner: TestOwner, options?: ProfileOptions): Promise<Profile>;
  /** A tab of a new profile. */
  open(owner: TestOwner): Promise<Tab>;
  /** The page stands still until that is called which this returns; its timers and messages wait. */
  stop(tab: Tab): Promise<() => void>;
  /** Defines a test that not every browser lets us do. */
  test(name: string, need: Need, run: (t: TestContext) => Promise<void>): void;
}

const kind = chosenBrowser();
let program: Promise<BrowserProgram> | undefined;
/** The files of this process that have tests to come; all are read before the first test runs. */
let users = 0;

function useProgram(): void {
  users++;
  after(async () => {
    if (--users > 0) return;
    await (await program?.catch(() => undefined))?.close();
  });
}

/**
 * For the top of a file of tests.
 * @param entry the script of the page, a URL of a file
 */
export function useBrowser(entry: URL): TestBrowser {
  let server: PageServer | undefined;
  useProgram();
  before(async () => {
    program ??= kind.launch();
    [, server] = await Promise.all([program, servePage(fileURLToPath(entry))]);
  });
  after(() => server?.close());
  const started = () => {
    assert.ok(server !== undefined && program !== undefined, 'it is started before the first test');
    return { server, program };
  };
  const openProfile = async (owner: TestOwner, options: ProfileOptions = {}) => {
    const { server, program } = started();
    const profile = await (await program).profile(server.url, options);
    owner.after(async () => assert.deepEqual(await profile.close(), [], 'no page threw'));
    return profile;
  };
  return {
    profile: openProfile,
    open: async (owner) => (await openProfile(owner)).open(),
    stop: (tab) => tab.stop?.() ?? started().server.hold(tab),
    test(name, need, run) {
      test(name, { skip: kind.lacks[need] }, run);
    },
  };
}
