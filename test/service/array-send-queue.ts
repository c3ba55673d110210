/** An sendQueue over an array, for sessions without sockets. */

import { EventEmitter, once } from 'node:events';
import type { WireChangeSet } from '../../src/protocol/schemas.ts';
import type { SharedMessage } from '../../src/service/delivery/announcement.ts';
import type { Frame } from '../../src/service/delivery/frames.ts';
import type { SendQueue } from '../../src/sessions/send-queue.ts';

export interface SentMessage {
  type: string;
  changeSets?: WireChangeSet[];
  code?: string;
}

/** Holds what it is sent back while `isHeld`, as a peer does that doesn't read. */
export class ArraySendQueue implements SendQueue {
  readonly messages: SentMessage[] = [];
  /** Those of them that others were sent as well. */
  readonly sharedMessages: SharedMessage[] = [];
  isOpen = true;
  isHeld = false;
  queuedBytes = 0;
  takenBytes = 0;
  /** The most that was ever queued. */
  queuedBytesPeak = 0;
  #waiters: { bytes: number; resolve(): void }[] = [];
  readonly #emitter = new EventEmitter();
  /** Emits `closed`. */
  readonly closing = new EventEmitter();

  send(frame: string | Frame, taken?: () => void): void {
    if (!this.isOpen) {
      taken?.();
      return;
    }
    const text = typeof frame === 'string' ? frame : Buffer.concat(frame).toString();
    this.messages.push(JSON.parse(text));
    if (this.isHeld) this.queuedBytes += text.length;
    if (!this.isHeld) taken?.();
    else if (taken !== undefined) this.#waiters.push({ bytes: 0, resolve: taken });
    this.queuedBytesPeak = Math.max(this.queuedBytesPeak, this.queuedBytes);
    this.#emitter.emit('sent');
  }

  sendShared(message: SharedMessage): void {
    this.sharedMessages.push(message);
    this.send(message.pieces, message.share());
  }

  pong(): void {}

  async drained(bytes: number): Promise<void> {
    if (this.queuedBytes <= bytes || !this.isOpen) return;
    this.#emitter.emit('waiting');
    await new Promise<void>((resolve) => this.#waiters.push({ bytes, resolve }));
  }

  /** The peer takes all that is queued. */
  take(): void {
    this.takenBytes += this.queuedBytes;
    this.queuedBytes = 0;
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  /** Resolves once somebody waits for it to drain. */
  async waitedFor(): Promise<void> {
    if (this.#waiters.length === 0) await once(this.#emitter, 'waiting');
  }

  /** Resolves once so many change sets have been sent. */
  async sent(count: number): Promise<void> {
    while (this.transactionIds.length < count) await once(this.#emitter, 'sent');
  }

  /** Of all change sets in the order in which they were sent. */
  get transactionIds(): string[] {
    return this.changeSets.map(({ transactionId }) => transactionId);
  }

  get changeSets(): WireChangeSet[] {
    return this.messages.flatMap(({ changeSets = [] }) => changeSets);
  }

  get types(): string[] {
    return this.messages.map(({ type }) => type);
  }

  pause(): void {}
  resume(): void {}

  close(): void {
    this.isOpen = false;
    this.take();
    this.closing.emit('closed');
  }

  closeNow(): void {
    this.close();
  }
}
