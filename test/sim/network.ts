/**
 * A socket of a simulation: in order and complete for as long as it holds, late by chance, slow
 * if it is, and cut at any moment, with what was on its way lost.
 */

import type { SharedMessage } from '../../src/service/delivery/announcement.ts';
import type { Frame } from '../../src/service/delivery/frames.ts';
import type { SendQueue } from '../../src/sessions/send-queue.ts';
import { type Loop, OUTSIDE } from './loop.ts';
import type { Random } from './random.ts';
import { trace } from './trace.ts';

/** The end of a socket that the coordinator holds. */
export interface ServerEnd {
  receive(text: string): void;
  closed(): void;
}

/** The end that the device holds. */
export interface DeviceEnd {
  readonly name: string;
  onMessage(message: Record<string, unknown>): void;
  onClose(code: number): void;
}

export class SimSocket implements SendQueue {
  isOpen = true;
  queuedBytes = 0;
  readonly takenBytes = 0;
  /** While set, what is sent to the device waits. */
  isStalled = false;
  readonly #loop: Loop;
  readonly #random: Random;
  readonly #owner: string;
  readonly #device: DeviceEnd;
  #server: ServerEnd | undefined;
  readonly #toServer: string[] = [];
  #isPaused = false;
  readonly #toDevice: string[] = [];
  #deviceDueMs = 0;
  #serverDueMs = 0;
  #waiters: { bytes: number; resolve(): void }[] = [];
  #gone = false;

  constructor(loop: Loop, random: Random, owner: string, device: DeviceEnd) {
    this.#loop = loop;
    this.#random = random;
    this.#owner = owner;
    this.#device = device;
  }

  serve(server: ServerEnd): void {
    this.#server = server;
  }

  #latencyMs(): number {
    return this.#random.chance(0.1) ? this.#random.next() * 80 : this.#random.next() * 5;
  }

  /** From the device. */
  tell(message: object): void {
    if (this.#gone) return;
    const text = JSON.stringify(message);
    trace(this.#loop.nowMs, `from ${this.#device.name}`, text);
    this.#serverDueMs = Math.max(this.#serverDueMs, this.#loop.nowMs + this.#latencyMs());
    this.#loop.at(
      this.#serverDueMs - this.#loop.nowMs,
      () => {
        if (this.#gone) return;
        this.#toServer.push(text);
        this.#handOver();
      },
      this.#owner,
    );
  }

  #handOver(): void {
    while (!this.#isPaused && !this.#gone) {
      const text = this.#toServer.shift();
      if (text === undefined) return;
      this.#server?.receive(text);
    }
  }

  /** From the coordinator. */
  send(frame: string | Frame, taken?: () => void): void {
    // Its bytes are copied, or dropped.
    taken?.();
    if (!this.isOpen) return;
    const text = typeof frame === 'string' ? frame : Buffer.concat(frame).toString();
    this.queuedBytes += text.length;
    this.#toDevice.push(text);
    this.#schedule();
  }

  sendShared(message: SharedMessage): void {
    this.send(message.pieces, message.share());
  }

  pong(): void {}

  #schedule(): void {
    this.#deviceDueMs = Math.max(this.#deviceDueMs, this.#loop.nowMs + this.#latencyMs());
    this.#loop.at(this.#deviceDueMs - this.#loop.nowMs, () => this.#deliver(), OUTSIDE);
  }

  #deliver(): void {
    if (this.#gone || this.isStalled) return;
    const text = this.#toDevice.shift();
    if (text === undefined) return;
    this.queuedBytes -= text.length;
    trace(this.#loop.nowMs, `to ${this.#device.name}`, text);
    this.#wake();
    this.#device.onMessage(JSON.parse(text));
  }

  /** Lets what has waited go on. */
  unstall(): void {
    this.isStalled = false;
    for (const _ of this.#toDevice) this.#schedule();
  }

  #wake(): void {
    const ready = this.#waiters.filter(({ bytes }) => this.queuedBytes <= bytes || !this.isOpen);
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter));
    for (const { resolve } of ready) this.#loop.at(0, resolve, this.#owner);
  }

  async drained(bytes: number): Promise<void> {
    if (this.queuedBytes <= bytes || !this.isOpen) return;
    await new Promise<void>((resolve) => this.#waiters.push({ bytes, resolve }));
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#loop.at(0, () => this.#handOver(), this.#owner);
  }

  /** The coordinator closes: the device gets what was sent before, and then hears of it. */
  close(code: number): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#wake();
    this.#deviceDueMs = Math.max(this.#deviceDueMs, this.#loop.nowMs + this.#latencyMs());
    this.#loop.at(this.#deviceDueMs - this.#loop.nowMs, () => this.#end(code), OUTSIDE);
  }

  closeNow(code: number): void {
    this.close(code);
  }

  /** The connection breaks, for both at once; what was on its way is lost. */
  cut(): void {
    this.#end(1006);
  }

  #end(code: number): void {
    if (this.#gone) return;
    this.#gone = true;
    this.isOpen = false;
    this.queuedBytes = 0;
    this.#wake();
    this.#loop.at(this.#latencyMs(), () => this.#server?.closed(), this.#owner);
    this.#loop.at(0, () => this.#device.onClose(code), OUTSIDE);
  }
}
