/** The clients of one contender: listeners that only count, and one writer of its own kind. */

import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';
import { serveProgram } from '../lib/program.ts';
import { RawListener } from '../lib/raw-listener.ts';
import { percentile } from '../lib/statistics.ts';
import { type ContenderName, join, SHARED, speaksOurs, type Write } from './contenders.ts';
import { openWriter as openCoordinatorWriter } from './writers/coordinator.ts';

export interface PeerTarget {
  name: ContenderName;
  url: string;
  clients: number;
}

export interface Pace {
  perSecond: number;
  transactions: number;
  valueBytes: number;
}

const CONNECTING_AT_ONCE = 50;
/** How long after the last was sent what has not arrived is given up. */
const GIVE_UP_MS = 20_000;
const MARK = Buffer.from('tx#');
const ZERO = '0'.charCodeAt(0);

const listeners: RawListener[] = [];
const others: RawListener[] = [];
let write: Write = () => {};
let deliver: (listener: number, transaction: number) => void = () => {};
let made = 0;
let closed = 0;

/** Its number is at the end of its value, in JSON or not. 0 for messages that hold none. */
function lastTransactionIn(message: Buffer): number {
  const mark = message.lastIndexOf(MARK);
  if (mark < 0) return 0;
  let number = 0;
  for (let at = mark + MARK.length; ; at++) {
    const digit = (message[at] ?? 0) - ZERO;
    if (digit < 0 || digit > 9) return number;
    number = number * 10 + digit;
  }
}

function valueWith(transaction: number, bytes: number): string {
  const end = `tx#${transaction}`;
  return 'x'.repeat(bytes - end.length) + end;
}

async function open({ name, url, clients }: PeerTarget, into: RawListener[]): Promise<void> {
  let left = clients;
  const openSome = async () => {
    while (left > 0) {
      left--;
      const listener = await RawListener.open(url);
      await join(name, listener);
      listener.onMessage = () => {};
      into.push(listener);
    }
  };
  await Promise.all(Array.from({ length: CONNECTING_AT_ONCE }, openSome));
}

async function openWriter({ name, url }: PeerTarget): Promise<Write> {
  if (speaksOurs(name)) return openCoordinatorWriter(url, SHARED);
  // By a name that only it knows, since the peers may not be installed.
  const { openWriter } = await import(new URL(`writers/${name}.mjs`, import.meta.url).href);
  return openWriter(url, WebSocket);
}

/** Ends early, and quietly, when it is aborted. */
async function giveUp(signal: AbortSignal): Promise<void> {
  await sleep(GIVE_UP_MS, undefined, { signal }).catch(() => {});
}

const methods = serveProgram({
  async connect(target: PeerTarget) {
    await open(target, listeners);
    listeners.forEach((listener, i) => {
      listener.onMessage = (message) => deliver(i, lastTransactionIn(message));
      listener.onClose = () => closed++;
    });
    write = await openWriter(target);
  },
  /** From the call of the writer's library to the arrival at a listener. */
  async paced({ perSecond, transactions, valueBytes }: Pace) {
    const first = made + 1;
    made += transactions;
    const values = Array.from({ length: transactions }, (_, i) => valueWith(first + i, valueBytes));
    const sentAt = new Float64Array(transactions);
    const wanted = transactions * listeners.length;
    const latencies = new Float64Array(wanted);
    const newest = new Int32Array(listeners.length).fill(first - 1);
    let arrived = 0;
    let lastAt = 0;
    const done = new Promise<void>((resolve) => {
      deliver = (listener, transaction) => {
        lastAt = performance.now();
        // Deliveries are in order, so a message tells of those before it too.
        for (let n = (newest[listener] ?? 0) + 1; n <= transaction; n++) {
          latencies[arrived++] = lastAt - (sentAt[n - first] ?? 0);
          newest[listener] = n;
        }
        if (arrived === wanted) resolve();
      };
    });
    const startedAt = performance.now();
    for (const [i, value] of values.entries()) {
      const waitMs = startedAt + (i * 1000) / perSecond - performance.now();
      if (waitMs > 0) await sleep(waitMs);
      sentAt[i] = performance.now();
      write(first + i, value);
    }
    const sentBy = performance.now();
    const timeout = new AbortController();
    await Promise.race([done, giveUp(timeout.signal)]);
    timeout.abort();
    const all = [...latencies.subarray(0, arrived)];
    return {
      p50Ms: percentile(all, 0.5),
      p99Ms: percentile(all, 0.99),
      arrived: arrived / wanted,
      sendingMs: sentBy - startedAt,
      lateMs: lastAt - sentBy,
      closed,
    };
  },
  /** Clients that are let in, and then read nothing any more. */
  async stall(target: PeerTarget) {
    await open(target, others);
    for (const { socket } of others) socket.pause();
  },
  idle: (target: PeerTarget) => open(target, others),
  closeIdle() {
    for (const { socket } of others.splice(0)) socket.destroy();
  },
});

export type PeerLoad = typeof methods;
