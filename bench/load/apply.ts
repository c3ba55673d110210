/**
 * Devices that send transactions as fast as they are acknowledged, so many in flight each. They
 * put the same load on the echo server, where every message is answered by itself.
 */

import type WebSocket from 'ws';
import { TransactionMaker, type TransactionShape } from '../lib/messages.ts';
import { serveProgram } from '../lib/program.ts';
import { openSession, openSocket, TYPE, typeOf } from '../lib/sockets.ts';
import { atSteadyPace, percentile } from '../lib/statistics.ts';

export interface ApplyTarget {
  url: string;
  /** Other nodes: connections go to one after the other. */
  otherUrls?: string[];
  /** Of each connection; none for the echo server. */
  databaseIds?: string[];
  connections: number;
  /** Where the primary keys of inserts begin. */
  firstRow?: number;
  /** That is written to. */
  table?: string;
  agoMs?: number;
  /** Whether they compress what they send. */
  compressed?: boolean;
}

export interface ApplyRound {
  shape: TransactionShape;
  /** Messages of one connection. */
  messages: number;
  transactionsPerMessage?: number;
}

export interface ApplyFigures {
  elapsedMs: number;
  /** From sending to the answer. */
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  /** Where a standstill counts for all who would have written meanwhile. */
  p99SteadyMs: number;
}

class Device {
  readonly socket: WebSocket;
  readonly #maker: TransactionMaker;
  readonly #isEcho: boolean;
  #messages: Buffer[] = [];
  #sent = 0;
  #answered = 0;
  #sentAt = new Float64Array();
  #latencies = new Float64Array();
  #finish: (latencies: Float64Array) => void = () => {};
  #fail: (error: Error) => void = () => {};

  constructor(socket: WebSocket, maker: TransactionMaker, isEcho: boolean) {
    this.socket = socket;
    this.#maker = maker;
    this.#isEcho = isEcho;
    socket.on('message', (data: Buffer) => this.#receive(data));
    socket.once('close', (code) => this.#fail(new Error(`closed with ${code}`)));
  }

  prepare({ shape, messages, transactionsPerMessage }: ApplyRound): void {
    this.#messages = Array.from({ length: messages }, () =>
      this.#maker.message(shape, transactionsPerMessage),
    );
    this.#sentAt = new Float64Array(messages);
    this.#latencies = new Float64Array(messages);
    this.#sent = 0;
    this.#answered = 0;
  }

  /** Sends everything and waits for the last answer. */
  run(inFlight: number): Promise<Float64Array> {
    return new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
      for (let i = 0; i < inFlight; i++) this.#sendNext();
    });
  }

  #sendNext(): void {
    const message = this.#messages[this.#sent];
    if (message === undefined) return;
    this.#sentAt[this.#sent++] = performance.now();
    this.socket.send(message, { binary: false });
  }

  #receive(data: Buffer): void {
    if (!this.#isEcho) {
      const type = typeOf(data);
      if (type === TYPE.error) this.#fail(new Error(data.toString()));
      if (type !== TYPE.applyResult) return;
    }
    this.#latencies[this.#answered] = performance.now() - (this.#sentAt[this.#answered] ?? 0);
    this.#sendNext();
    if (++this.#answered === this.#messages.length) this.#finish(this.#latencies);
  }
}

let devices: Device[] = [];

const methods = serveProgram({
  async connect({
    url,
    otherUrls = [],
    databaseIds,
    connections,
    compressed,
    ...first
  }: ApplyTarget) {
    const { firstRow = 0, agoMs, table } = first;
    const urls = [url, ...otherUrls];
    for (const { socket } of devices) socket.terminate();
    devices = await Promise.all(
      Array.from({ length: connections }, async (_, i) => {
        // Connections that share a database must not insert the same rows.
        const firstRowOfOwn = firstRow + i * 100_000_000;
        const maker = new TransactionMaker({ agoMs, table, firstRow: firstRowOfOwn });
        const databaseId = databaseIds?.[i % databaseIds.length];
        const nodeUrl = urls[i % urls.length] ?? url;
        const socket =
          databaseId === undefined
            ? await openSocket(nodeUrl)
            : await openSession(nodeUrl, maker.siteText, databaseId, compressed);
        return new Device(socket, maker, databaseId === undefined);
      }),
    );
  },
  prepare(round: ApplyRound) {
    for (const device of devices) device.prepare(round);
  },
  async run({ inFlight }: { inFlight: number }): Promise<ApplyFigures> {
    const startedAt = performance.now();
    const latencies = await Promise.all(devices.map((device) => device.run(inFlight)));
    const elapsedMs = performance.now() - startedAt;
    const all = latencies.flatMap((values) => [...values]);
    return {
      elapsedMs,
      p50Ms: percentile(all, 0.5),
      p99Ms: percentile(all, 0.99),
      maxMs: percentile(all, 1),
      p99SteadyMs: percentile(atSteadyPace(all), 0.99),
    };
  },
});

export type ApplyLoad = typeof methods;
