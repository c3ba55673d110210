/**
 * When to try again, and when to let go: what a page, a worker or an app shell tells of being hidden
 * and seen, and of the network. Where nothing tells it, pings alone find out.
 */

import { globalsAs } from '../globals.ts';

/** What is used of the DOM, each part of which may be missing. */
export interface Page {
  /** @returns ends it */
  on(event: string, run: () => void): () => void;
  isHidden(): boolean;
}

export interface WakeUpTarget {
  wake(): void;
  sleep(): void;
}

/** A page that is hidden for so long lets go of its connection. */
const HIDDEN_MS = 300_000;
/** So long a device is believed that it has no network: some are wrong, and some forget to tell. */
const OFFLINE_MS = 60_000;

/** iOS often tells no close of a socket, but one of these. */
const WAKING = ['online', 'pageshow', 'resume', 'visibilitychange'];
/** The page may never run again, or long after the server has given it up. */
export const ENDING = ['pagehide', 'freeze'];

/**
 * @param mayLetGo whether a hidden page may let go: not while it has something to send
 * @returns ends it
 */
export function watchPage(
  target: WakeUpTarget,
  environment: { page?: Page; after(ms: number, run: () => void): () => void },
  mayLetGo: () => boolean,
): () => void {
  const { page } = environment;
  let cancel = () => {};
  if (page === undefined) return cancel;
  const sleep = () => {
    cancel();
    target.sleep();
  };
  const letGo = () => {
    if (mayLetGo()) target.sleep();
    else cancel = environment.after(HIDDEN_MS, letGo);
  };
  const wake = () => {
    cancel();
    target.wake();
    if (page.isHidden()) cancel = environment.after(HIDDEN_MS, letGo);
  };
  const offline = () => {
    sleep();
    cancel = environment.after(OFFLINE_MS, wake);
  };
  const unwatch = onPage(page, [
    [WAKING, wake],
    [ENDING, sleep],
    [['offline'], offline],
  ]);
  return () => {
    cancel();
    unwatch();
  };
}

/** @returns ends it */
export function onPage(
  page: Page,
  handlers: readonly [events: readonly string[], run: () => void][],
): () => void {
  const ends = handlers.flatMap(([events, run]) => events.map((event) => page.on(event, run)));
  return () => {
    for (const end of ends) end();
  };
}

interface Target {
  addEventListener?(event: string, run: () => void): void;
  removeEventListener?(event: string, run: () => void): void;
}

interface Globals extends Target {
  document?: Target & { visibilityState?: string };
}

/** That of the global scope; `undefined` where it has no events, as in Node and React Native. */
export function createPage(): Page | undefined {
  const globals = globalsAs<Globals>();
  const { document } = globals;
  if (globals.addEventListener === undefined) return undefined;
  return {
    on(event, run) {
      // Those of the document do not all reach the window.
      const targets = [globals, document];
      for (const target of targets) target?.addEventListener?.(event, run);
      return () => {
        for (const target of targets) target?.removeEventListener?.(event, run);
      };
    },
    isHidden: () => document?.visibilityState === 'hidden',
  };
}
