/**
 * What the client takes from where it runs. Everything else of a browser, a worker, Node or React
 * Native is out of reach here, so that the same code runs in all of them, and under simulated time.
 */

import { createPage, type Page } from './connection/wake-ups.ts';
import { globalsAs } from './globals.ts';

/** Declared as a method, so that sockets fit whose events have more: those of `ws`, and of browsers. */
type Handler<Events extends unknown[]> = { handle(...events: Events): void }['handle'] | null;

/** What is used of a WebSocket: the standard's own interface. */
export interface SocketLike {
  onopen: Handler<[event?: unknown]>;
  onmessage: Handler<[event: { data: unknown }]>;
  onclose: Handler<[event: { code: number; reason: string }]>;
  onerror: Handler<[event: unknown]>;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  addEventListener?(event: 'message', listener: () => void): void;
}

export type SocketConstructor = new (url: string) => SocketLike;

/** Opens what carries the messages of one connection, in place of a WebSocket. */
export type Transport = (url: string, environment: Environment) => SocketLike;

/** What is used of Web Locks: the standard's own interface. */
export interface LocksLike {
  request(
    name: string,
    options: { ifAvailable?: boolean; steal?: boolean },
    hold: (lock: unknown) => unknown,
  ): Promise<unknown>;
}

/** What is used of a BroadcastChannel. */
export interface ChannelLike {
  onmessage: ((event: { data: unknown }) => void) | null;
  postMessage(data: unknown): void;
  close(): void;
}

export interface Environment {
  /** Milliseconds since 1970. */
  now(): number;
  /** From 0 up to 1. */
  random(): number;
  randomBytes(count: number): Uint8Array;
  /** @returns cancels it */
  after(ms: number, run: () => void): () => void;
  openSocket(url: string): SocketLike;
  /** Tells when the app is hidden and seen, and when there is a network; missing where nothing does. */
  page?: Page;
  /** Missing where tabs can't share a store; so is `openChannel`. */
  locks?: LocksLike;
  openChannel?(name: string): ChannelLike;
}

/** The parts of the global scope that are used, each of which may be missing somewhere. */
interface Globals {
  WebSocket?: SocketConstructor;
  crypto?: { getRandomValues(bytes: Uint8Array): Uint8Array };
  navigator?: { locks?: LocksLike };
  BroadcastChannel?: new (name: string) => ChannelLike;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
}

/** @param WebSocket where the runtime has none of its own (Node before 22) */
export function createEnvironment({
  WebSocket,
}: {
  WebSocket?: SocketConstructor;
} = {}): Environment {
  const globals = globalsAs<Globals>();
  const { navigator, BroadcastChannel } = globals;
  return {
    now: () => Date.now(),
    random: () => Math.random(),
    randomBytes(count) {
      const { crypto } = globals;
      if (crypto === undefined) {
        throw new Error('there is no crypto.getRandomValues here: give the client a siteId');
      }
      return crypto.getRandomValues(new Uint8Array(count));
    },
    after(ms, run) {
      const timer = globals.setTimeout(run, ms);
      return () => globals.clearTimeout(timer);
    },
    openSocket(url) {
      const Socket = WebSocket ?? globals.WebSocket;
      if (Socket === undefined) {
        throw new Error('there is no WebSocket here: give the client one (option WebSocket)');
      }
      return new Socket(url);
    },
    page: createPage(),
    locks: navigator?.locks,
    openChannel: BroadcastChannel && ((name) => new BroadcastChannel(name)),
  };
}
