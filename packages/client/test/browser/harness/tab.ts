/** What the tests ask of a browser, so that each of them can be one of several. */

/** A tab with the page of the test in it. */
export interface Tab {
  /** Runs a function in the page; it sees nothing of the test but its argument, which is JSON. */
  evaluate<Result, Argument = undefined>(
    run: (argument: Argument) => Result | Promise<Result>,
    argument?: Argument,
  ): Promise<Result>;
  /** Resolves once the function returns something that is true. */
  waitForFunction<Argument = undefined>(
    isSo: (argument: Argument) => unknown,
    argument?: Argument,
  ): Promise<void>;
  /** Resolves when the script of the page has run again. */
  reload(): Promise<void>;
  close(): Promise<void>;
  /** Ends the process that runs the page, as a lack of memory would. */
  crash(): Promise<void>;
  /** Stops the process, where a page that waits for an answer goes on with its messages. @returns lets it go on */
  stop?(): Promise<() => void>;
  /** Leaves the page, and comes back to it as it was. */
  leaveAndReturn(meanwhile: () => Promise<void>): Promise<void>;
}

/** A browser's data: IndexedDB, locks and channels that no other profile sees. */
export interface Profile {
  /** Opens the page in a tab. Resolves when its script has run. */
  open(): Promise<Tab>;
  /** Ends all tabs. @returns what was thrown in them, and nobody caught */
  close(): Promise<readonly string[]>;
}

export interface ProfileOptions {
  /** Room for a few megabytes; what a browser has by default is more than a test could fill. */
  hasLittleRoom?: boolean;
}

export interface BrowserProgram {
  /** @param url of the page that its tabs show */
  profile(url: string, options: ProfileOptions): Promise<Profile>;
  close(): Promise<void>;
}
