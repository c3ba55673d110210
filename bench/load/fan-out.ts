/** Listeners of one database, and a writer there: at a pace, or as fast as it is acknowledged. */

import { setTimeout as sleep } from 'node:timers/promises';
import type WebSocket from 'ws';
import { TransactionMaker } from '../lib/messages.ts';
import { serveProgram } from '../lib/program.ts';
import { RawListener } from '../lib/raw-listener.ts';
import { openSession, openSocket, TYPE, typeOf } from '../lib/sockets.ts';
import { percentile } from '../lib/statistics.ts';

export interface FanOutTarget {
  url: string;
  /** Of the writer, if it is at another node. */
  writerUrl?: string;
  /** None for the bare broadcast. */
  databaseId?: string;
  listeners: number;
}

const CONNECTING_AT_ONCE = 50;
const HASH = '#'.charCodeAt(0);
const ZERO = '0'.charCodeAt(0);

const maker = new TransactionMaker();
let writer: WebSocket;
const listeners: RawListener[] = [];
/** What a delivery does: the number of the newest transaction in a message, by listener. */
let deliver: (listener: number, transaction: number) => void = () => {};
let frames = 0;
let onAcknowledged = () => {};
let made = 0;

/** The number behind the last `#`: deliveries are in order, so it tells of those before it too. */
function lastTransactionIn(message: Buffer): number {
  let number = 0;
  for (let at = message.lastIndexOf(HASH) + 1; ; at++) {
    const digit = (message[at] ?? 0) - ZERO;
    if (digit < 0 || digit > 9) return number;
    number = number * 10 + digit;
  }
}

function prepare(transactions: number) {
  const first = made + 1;
  made += transactions;
  const messages = Array.from({ length: transactions }, () => maker.message({ changes: 1 }));
  return { first, messages };
}

/** Counts deliveries of the transactions from `first` on; resolves when all have arrived everywhere. */
function allDelivered(
  first: number,
  transactions: number,
  each: (transaction: number) => void,
): Promise<void> {
  const newest = new Int32Array(listeners.length).fill(first - 1);
  let left = transactions * listeners.length;
  frames = 0;
  return new Promise((resolve) => {
    deliver = (listener, transaction) => {
      frames++;
      for (let number = (newest[listener] ?? 0) + 1; number <= transaction; number++) {
        each(number - first);
        left--;
      }
      newest[listener] = transaction;
      if (left === 0) resolve();
    };
  });
}

const methods = serveProgram({
  async connect({ url, writerUrl = url, databaseId, listeners: count }: FanOutTarget) {
    for (let from = 0; from < count; from += CONNECTING_AT_ONCE) {
      const group = Array.from({ length: Math.min(CONNECTING_AT_ONCE, count - from) });
      const opened = await Promise.all(
        group.map(async () => {
          const listener = await RawListener.open(url);
          const site = new TransactionMaker().siteText;
          if (databaseId !== undefined) await listener.join(site, databaseId);
          return listener;
        }),
      );
      listeners.push(...opened);
    }
    listeners.forEach((listener, i) => {
      listener.onMessage = (message) => deliver(i, lastTransactionIn(message));
    });
    writer =
      databaseId === undefined
        ? await openSocket(writerUrl)
        : await openSession(writerUrl, maker.siteText, databaseId);
    writer.on('message', (data: Buffer) => {
      if (typeOf(data) === TYPE.error) throw new Error(data.toString());
      if (typeOf(data) === TYPE.applyResult) onAcknowledged();
    });
  },
  /** @returns from the sending of a transaction to its arrival at a listener */
  async paced({ perSecond, transactions }: { perSecond: number; transactions: number }) {
    const { first, messages } = prepare(transactions);
    const sentAt = new Float64Array(transactions);
    const latencies = new Float64Array(transactions * listeners.length);
    let arrived = 0;
    const done = allDelivered(first, transactions, (i) => {
      latencies[arrived++] = performance.now() - (sentAt[i] ?? 0);
    });
    const startedAt = performance.now();
    for (const [i, message] of messages.entries()) {
      const waitMs = startedAt + (i * 1000) / perSecond - performance.now();
      if (waitMs > 0) await sleep(waitMs);
      sentAt[i] = performance.now();
      writer.send(message, { binary: false });
    }
    await done;
    const all = [...latencies];
    return { p50Ms: percentile(all, 0.5), p99Ms: percentile(all, 0.99) };
  },
  /** @returns how long until everything has arrived everywhere, and in how many frames */
  async flood({ inFlight, transactions }: { inFlight: number; transactions: number }) {
    const { first, messages } = prepare(transactions);
    const done = allDelivered(first, transactions, () => {});
    let sent = 0;
    onAcknowledged = () => {
      const message = messages[sent++];
      if (message !== undefined) writer.send(message, { binary: false });
    };
    const startedAt = performance.now();
    for (let i = 0; i < inFlight; i++) onAcknowledged();
    await done;
    return { elapsedMs: performance.now() - startedAt, frames };
  },
});

export type FanOutLoad = typeof methods;
