/**
 * The messages of one socket that are not taken yet. They are taken one by one, in order, and no
 * faster than `limits.messagesPerSecond`. While enough of them wait the socket is not read, so a
 * client that floods costs a bounded amount of memory and time.
 */

import type { LimitName } from '../errors/limit-names.ts';
import { Fifo } from '../service/budgets/fifo.ts';
import type { JsonText } from '../wire/long-json.ts';
import type { ArrivedBytes } from './arrived-bytes.ts';
import { Pacer } from './pacer.ts';

/** A message; `undefined` for a binary one. */
export type Incoming = JsonText | undefined;

export interface InboxOwner {
  /** Takes the next message. Never rejects. */
  take(message: Incoming): Promise<void>;
  /** Resolves when there is room for what another message may lead to; `undefined` if there is. */
  hasRoom(): Promise<void> | undefined;
}

/** The socket. */
export interface InboxSource {
  readonly isOpen: boolean;
  pause(): void;
  resume(): void;
}

export interface InboxOptions {
  limits: { messageBytes: number; messagesInFlight: number; messagesPerSecond: number };
  owner: InboxOwner;
  /** This limit keeps the socket from being read, or delays it. */
  onLimit(limit: LimitName): void;
  /** Counts what has arrived; without it nothing is counted. */
  arrived?: ArrivedBytes;
  source: InboxSource;
}

export class Inbox {
  readonly #options: InboxOptions;
  readonly #pacer: Pacer;
  readonly #messages = new Fifo<{ message: Incoming }>();
  #chars = 0;
  #isReading = false;
  #isTaking = false;
  #isPaused = false;
  /** Made for the first ping. */
  #pingPacer: Pacer | undefined;
  /** Until what was read of pings has had its time. */
  #pingTimer: NodeJS.Timeout | undefined;

  constructor(options: InboxOptions) {
    this.#options = options;
    this.#pacer = new Pacer(options.limits.messagesPerSecond);
  }

  put(message: Incoming): void {
    this.#messages.push({ message });
    this.#chars += lengthOf(message);
    this.#options.arrived?.completed(lengthOf(message));
    if (this.#fullOf !== undefined) this.#pause(this.#fullOf);
    if (this.#isReading) return;
    this.#isReading = true;
    this.#read().finally(() => {
      this.#isReading = false;
    });
  }

  /** A ping was answered. It waits for no message, but there may be no more of them in a second than of those. */
  pinged(): void {
    this.#pingPacer ??= new Pacer(this.#options.limits.messagesPerSecond);
    const waitMs = this.#pingPacer.take(Date.now());
    if (waitMs <= 0) return;
    this.#pause('limits.messagesPerSecond');
    clearTimeout(this.#pingTimer);
    this.#pingTimer = setTimeout(() => {
      this.#pingTimer = undefined;
      this.resume();
    }, waitMs);
  }

  /** Whether all messages have been taken and worked off. */
  get isIdle(): boolean {
    return !this.#isTaking && this.#messages.length === 0;
  }

  /** Whether another message may come. If not, the source is resumed when it may. */
  get hasRoom(): boolean {
    return this.#fullOf === undefined && !this.#options.arrived?.isFull;
  }

  clear(): void {
    clearTimeout(this.#pingTimer);
    this.#messages.clear();
    this.#chars = 0;
    this.#options.arrived?.close();
  }

  /** Reads the socket again, unless enough messages wait. */
  resume(): void {
    const { source } = this.#options;
    if (!source.isOpen || this.#pingTimer !== undefined) return;
    if (!this.hasRoom) return;
    this.#isPaused = false;
    source.resume();
  }

  /** The limit that the waiting messages have reached. */
  get #fullOf(): LimitName | undefined {
    const { messageBytes, messagesInFlight } = this.#options.limits;
    if (this.#messages.length >= messagesInFlight) return 'limits.messagesInFlight';
    return this.#chars >= messageBytes ? 'limits.messageBytes' : undefined;
  }

  #pause(limit: LimitName): void {
    const { source, onLimit } = this.#options;
    if (!this.#isPaused) onLimit(limit);
    this.#isPaused = true;
    source.pause();
  }

  async #read(): Promise<void> {
    const { source, owner, onLimit } = this.#options;
    // Messages to a closing socket are dropped.
    while (source.isOpen) {
      const next = this.#messages.shift();
      if (next === undefined) return;
      const { message } = next;
      this.#chars -= lengthOf(message);
      this.#options.arrived?.taken(lengthOf(message));
      this.#isTaking = true;
      await owner.take(message);
      this.#isTaking = false;
      const room = owner.hasRoom();
      if (room !== undefined) await room;
      const waitMs = this.#pacer.take(Date.now());
      if (waitMs > 0) {
        onLimit('limits.messagesPerSecond');
        await new Promise((resolve) => setTimeout(resolve, waitMs));
      }
      this.resume();
    }
  }
}

function lengthOf(message: Incoming): number {
  return message?.length ?? 0;
}
