/** An environment of which a test moves every part: time, timers, tokens and sockets. */

import type { Page } from '../../src/connection/wake-ups.ts';
import type { Environment, SocketLike } from '../../src/environment.ts';

interface Timer {
  at: number;
  run: () => void;
}

export interface Sent {
  type: string;
  requestId?: string;
  token?: string;
  sinceHLC?: string;
}

export class FakeSocket implements SocketLike {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: ((event: unknown) => void) | null = null;
  readonly sent: Sent[] = [];
  isOpen = false;
  isClosed = false;
  hasAcknowledged = false;
  throwsOnSend = false;

  send(text: string): void {
    if (this.throwsOnSend) throw new Error('the socket is closing');
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.isClosed = true;
  }

  open(): void {
    if (this.isOpen || this.isClosed) return;
    this.isOpen = true;
    this.onopen?.();
  }

  tell(message: object | string): void {
    if (!this.isOpen || this.isClosed) return;
    if (Reflect.get(Object(message), 'type') === 'handshake_ack') this.hasAcknowledged = true;
    this.onmessage?.({ data: typeof message === 'string' ? message : JSON.stringify(message) });
  }

  end(code: number): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.onclose?.({ code, reason: '' });
  }

  lastOf(type: string): Sent | undefined {
    return this.sent.findLast((message) => message.type === type);
  }
}

export class FakeWorld implements Environment {
  timeMs = 1_800_000_000_000;
  readonly sockets: FakeSocket[] = [];
  readonly timers = new Set<Timer>();
  page?: Page;
  /** Given to who asks for a random number. */
  randomNumber = 0.5;

  now(): number {
    return this.timeMs;
  }

  random(): number {
    return this.randomNumber;
  }

  randomBytes(count: number): Uint8Array {
    return new Uint8Array(count);
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.timeMs + ms, run };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  openSocket(): SocketLike {
    const socket = new FakeSocket();
    this.sockets.push(socket);
    return socket;
  }

  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error('no socket was opened');
    return socket;
  }

  /** The pause until the next timer, in milliseconds. */
  get nextMs(): number {
    return Math.min(...[...this.timers].map(({ at }) => at)) - this.timeMs;
  }

  /** Goes on to the next timer and lets it run. */
  async tick(): Promise<void> {
    const [next] = [...this.timers].sort((a, b) => a.at - b.at);
    if (next === undefined) return;
    this.timers.delete(next);
    this.timeMs = Math.max(this.timeMs, next.at);
    next.run();
    await settle();
  }

  /** Lets all timers run that come within a time. */
  async advance(ms: number): Promise<void> {
    const end = this.timeMs + ms;
    while (this.timeMs + this.nextMs <= end) await this.tick();
    this.timeMs = end;
    await settle();
  }
}

/** Lets everything happen that waits for nothing from outside. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
