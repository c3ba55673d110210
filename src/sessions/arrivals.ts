/**
 * What has arrived on one socket and is not taken yet: counted, inflated if it came compressed, and taken message by
 * message.
 */

import type { Socket } from 'node:net';
import type { SyncError } from '../errors/sync-error.ts';
import type { CoordinatorService } from '../service/coordinator-service.ts';
import { ArrivedBytes } from './arrived-bytes.ts';
import { Inbox, type InboxOwner, type Incoming } from './inbox.ts';
import { MessageInflater } from './message-inflater.ts';
import type { SendQueue } from './send-queue.ts';

export interface ArrivalsOptions {
  service: CoordinatorService;
  sendQueue: SendQueue;
  /** To count arriving bytes. */
  rawSocket: Socket | undefined;
  owner: InboxOwner;
  /** Whose share of memory the bytes count in. */
  holder(): string;
  /** Whether the client has a session. */
  isJoined(): boolean;
  /** Refuses the client without reading anything else from it. */
  refuse(reason: SyncError): void;
}

export class Arrivals {
  readonly #options: ArrivalsOptions;
  readonly #arrived: ArrivedBytes;
  readonly #inbox: Inbox;
  #inflater: MessageInflater | undefined;

  constructor(options: ArrivalsOptions) {
    this.#options = options;
    const { service, sendQueue, rawSocket, owner, holder, refuse } = options;
    const { limits } = service.config;
    this.#arrived = new ArrivedBytes({
      budget: service.memory.arrived,
      client: holder,
      timeoutMs: limits.requestTimeoutMs,
      pause: () => sendQueue.pause(),
      resume: () => this.#inbox.resume(),
      refuse,
    });
    // Before the listener of `ws`, which then announces the messages that the bytes complete.
    rawSocket?.prependListener('data', (bytes) => this.#arrived.read(bytes));
    this.#inbox = new Inbox({
      ...{ limits, owner, arrived: this.#arrived },
      source: {
        get isOpen() {
          return sendQueue.isOpen;
        },
        pause: () => sendQueue.pause(),
        resume: () => {
          sendQueue.resume();
          this.#inflater?.goOn();
        },
      },
      onLimit: service.metrics.limitMet,
    });
  }

  /** Made for the first that asks. */
  get inflater(): MessageInflater {
    const { service, isJoined, refuse } = this.#options;
    const { messageBytes, handshakeBytes } = service.config.limits;
    const max = { limit: 'limits.messageBytes', bytes: messageBytes } as const;
    const before = { limit: 'limits.handshakeBytes', bytes: handshakeBytes } as const;
    this.#inflater ??= new MessageInflater({
      arrived: this.#arrived,
      // What follows the handshake waits for it.
      isReady: () => this.#inbox.hasRoom && (isJoined() || this.#inbox.isIdle),
      max: () => (isJoined() || messageBytes < handshakeBytes ? max : before),
      refuse,
    });
    return this.#inflater;
  }

  put(message: Incoming): void {
    this.#inbox.put(message);
  }

  pinged(): void {
    this.#inbox.pinged();
  }

  clear(): void {
    this.#inbox.clear();
  }
}
