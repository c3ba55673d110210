/**
 * A device with another client than ours: it merges what comes and nothing else, sends each
 * transaction by itself, and takes every answer as it is. It mends nothing: the server's answers,
 * refusals and corrections have to be enough for it.
 */

import { once } from 'node:events';
import WebSocket from 'ws';
import { compareHlc, HLC_MIN, hlcWallTimeMs, maxHlc } from '../../src/clock/hlc.ts';
import type { ErrorCode } from '../../src/protocol/error-codes.ts';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import type {
  ServerMessage,
  ServerMessages,
  WireApplyResult,
} from '../../src/protocol/server-messages.ts';
import type { TestClock } from '../../src/testing/clock.ts';
import type { TestCoordinator, TestOwner } from '../../src/testing/coordinator.ts';
import { Device, type RowWrite } from '../../src/testing/device.ts';
import { Replica } from './replica.ts';

export interface PlainDeviceOptions {
  /** Default: `default`. */
  databaseId?: string;
  token?: string;
  /** The number of its site. Default: one that no other device has. */
  site?: number;
  /** How far its clock is ahead of the coordinator's, in milliseconds. */
  skewMs?: number;
}

/** The coordinator's answer to a transaction, in JSON form. */
export type Verdict = WireApplyResult;

/** The coordinator's refusal of a message. */
export class RefusedByCoordinator extends Error {
  override readonly name = 'RefusedByCoordinator';
  readonly code: ErrorCode;
  readonly isFatal: boolean;

  constructor({ code, message, fatal }: ServerMessages['error']) {
    super(`${code}: ${message}`);
    this.code = code;
    this.isFatal = fatal;
  }
}

interface Unanswered {
  changeSet: WireChangeSet;
  verdict: Promise<Verdict>;
  resolve(verdict: Verdict): void;
  reject(error: Error): void;
}

let sites = 0;

export class PlainDevice {
  #url: string;
  readonly #clock: TestClock;
  readonly #options: PlainDeviceOptions;
  readonly #author: Device;
  readonly #replica = new Replica();
  /** Its own transactions, oldest first, for `request_changes`. */
  readonly #written: WireChangeSet[] = [];
  readonly #unanswered = new Map<string, Unanswered>();
  #watermark: string | undefined;
  #newestWallTime = 0;
  #socket: WebSocket | undefined;
  /** The socket that was opened last, which may not be let in yet. */
  #newest: WebSocket | undefined;
  #fetched = defer<void>();
  /** Errors of the coordinator that do not answer a transaction. */
  readonly #errors: RefusedByCoordinator[] = [];

  /** @param url the URL of the coordinator's WebSocket */
  constructor(url: string, clock: TestClock, options: PlainDeviceOptions = {}) {
    this.#url = url;
    this.#clock = clock;
    this.#options = options;
    this.#author = new Device(options.site ?? 1_000_000 + ++sites);
  }

  /** 22 characters of base64url. */
  get siteId(): string {
    return this.#author.siteId;
  }

  get isOnline(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** The close code of the last connection, once it is closed. */
  closeCode: number | undefined;

  /**
   * Writes columns of a row to its replica at once. Resolves with the coordinator's answer; while
   * the device is offline, only after it has come back.
   */
  write(table: string, pk: unknown[], values: Record<string, unknown>): Promise<Verdict> {
    return this.transact({ table, pk, set: values });
  }

  delete(table: string, pk: unknown[]): Promise<Verdict> {
    return this.transact({ table, pk, delete: true });
  }

  /** Several writes as one transaction. */
  transact(...writes: RowWrite[]): Promise<Verdict> {
    const { skewMs = 0 } = this.#options;
    const wallTime = Math.max(this.#clock.now() + skewMs, this.#newestWallTime + 1);
    this.#author.wallTime = Math.max(this.#author.wallTime, wallTime);
    const changeSet = this.#author.write(...writes);
    this.#take([changeSet]);
    this.#written.push(changeSet);
    const { promise, resolve, reject } = defer<Verdict>();
    // A test may not wait for the verdict: then a failure is no unhandled rejection.
    promise.catch(() => undefined);
    const waiting = { changeSet, verdict: promise, resolve, reject };
    this.#unanswered.set(changeSet.transactionId, waiting);
    if (this.isOnline) this.#push([changeSet], changeSet.transactionId);
    return promise;
  }

  /** Its last transaction, in the form in which it is sent. */
  get lastWritten(): WireChangeSet {
    const last = this.#written.at(-1);
    if (last === undefined) throw new Error('it has written nothing');
    return last;
  }

  /** Its rows of a table, as `[pk, values]`, in a fixed order. */
  rows(table: string, schema = 'main'): [pk: unknown[], values: Record<string, unknown>][] {
    return this.#replica.rows(schema, table);
  }

  /** All that it holds, for comparison with other devices. */
  contents(): Record<string, Record<string, unknown>> {
    return this.#replica.contents();
  }

  /** Disconnects. Later writes wait until it comes back. */
  async goOffline(): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined || socket.readyState === WebSocket.CLOSED) return;
    const closed = once(socket, 'close');
    socket.close();
    await closed;
  }

  /**
   * Connects, sends what waits, and fetches what it has missed.
   * @param url the URL of another coordinator of the same databases, used from now on
   * @throws RefusedByCoordinator if it is not let in
   */
  async comeBack(url = this.#url): Promise<void> {
    this.#url = url;
    await this.goOffline();
    this.#newest?.terminate();
    const socket = new WebSocket(this.#url, { perMessageDeflate: false });
    this.#newest = socket;
    this.closeCode = undefined;
    const joined = defer<void>();
    socket.on('error', joined.reject);
    socket.on('close', (code) => {
      if (this.#newest === socket) this.closeCode = code;
      const refusal = this.#errors.at(-1) ?? new Error(`the socket closed with ${code}`);
      joined.reject(refusal);
      if (this.#socket === socket) this.#fetched.reject(refusal);
    });
    socket.on('message', (data) => {
      const message: ServerMessage = JSON.parse(data.toString());
      if (message.type === 'handshake_ack') joined.resolve();
      else this.#receive(message);
    });
    await once(socket, 'open');
    const { token, databaseId } = this.#options;
    const handshake = { siteId: this.siteId, token, databaseId, protocolVersion: 1 };
    socket.send(JSON.stringify({ type: 'handshake', ...handshake }));
    await joined.promise;
    this.#socket = socket;
    for (const [id, { changeSet }] of this.#unanswered) this.#push([changeSet], id);
    await this.synced();
  }

  /**
   * Resolves once its writes have been answered, and it has fetched all that the coordinator has
   * for it.
   */
  async synced(): Promise<void> {
    await Promise.allSettled([...this.#unanswered.values()].map(({ verdict }) => verdict));
    const before = this.#fetched;
    const fetched = defer<void>();
    // The next answer also settles earlier calls that still wait.
    fetched.promise.then(before.resolve, before.reject);
    this.#fetched = fetched;
    this.#send({ type: 'get_changes', sinceHLC: this.#watermark });
    await fetched.promise;
  }

  /** Ends without closing its connection, as when its battery is empty. */
  destroy(): void {
    this.#newest?.terminate();
    this.#socket = undefined;
  }

  #send(message: object): void {
    if (this.#socket === undefined) throw new Error('the device is offline');
    this.#socket.send(JSON.stringify(message));
  }

  #push(changes: WireChangeSet[], requestId?: string): void {
    this.#send({ type: 'apply_changes', changes, requestId });
  }

  #take(changeSets: readonly WireChangeSet[]): void {
    this.#replica.apply(changeSets);
    for (const { changes } of changeSets) {
      for (const { hlc } of changes) {
        this.#newestWallTime = Math.max(this.#newestWallTime, hlcWallTimeMs(hlc));
      }
    }
  }

  #receive(message: ServerMessage): void {
    switch (message.type) {
      case 'push_changes':
        this.#take(message.changeSets);
        return;
      case 'changes':
        this.#take(message.changeSets);
        // Only answers to `get_changes` have no gaps, unlike pushes.
        for (const { hlc } of message.changeSets) this.#moveTo(hlc);
        this.#fetched.resolve();
        return;
      case 'apply_result': {
        const { type: _type, requestId = '', ...verdict } = message;
        this.#unanswered.get(requestId)?.resolve(verdict);
        this.#unanswered.delete(requestId);
        return;
      }
      case 'request_changes': {
        const wanted = this.#written.filter(
          ({ hlc }) => compareHlc(hlc, message.sinceHLC ?? HLC_MIN) > 0,
        );
        if (wanted.length > 0) this.#push(wanted);
        return;
      }
      case 'snapshot_chunk': {
        const { chunk } = message;
        this.#replica.load([chunk]);
        if (chunk.type === 'header') this.#watermark = chunk.hlc;
        return;
      }
      case 'snapshot_complete':
        this.#send({ type: 'get_changes', sinceHLC: this.#watermark });
        return;
      case 'error':
        this.#refused(message);
    }
  }

  #moveTo(position: string): void {
    this.#watermark = this.#watermark === undefined ? position : maxHlc(this.#watermark, position);
  }

  #refused(message: ServerMessages['error']): void {
    const error = new RefusedByCoordinator(message);
    const { code, requestId = '' } = message;
    const waiting = this.#unanswered.get(requestId);
    if (waiting !== undefined) {
      this.#unanswered.delete(requestId);
      waiting.reject(error);
      return;
    }
    this.#errors.push(error);
    if (code === 'SNAPSHOT_REQUIRED' && this.isOnline) this.#send({ type: 'get_snapshot' });
    else this.#fetched.reject(error);
  }
}

/** Makes a connected one. Rejects if it is not let in. */
export async function plainDevice(
  owner: TestOwner,
  { wsUrl, clock }: TestCoordinator,
  options?: PlainDeviceOptions,
): Promise<PlainDevice> {
  const device = new PlainDevice(wsUrl, clock, options);
  owner.after(() => device.destroy());
  await device.comeBack();
  return device;
}

function defer<T>() {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((settle, fail) => {
    [resolve, reject] = [settle, fail];
  });
  // It may reject before anything awaits it.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
