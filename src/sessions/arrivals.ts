/**
 * What has arrived on one socket and is not taken yet: counted, inflated if it came compressed, and taken message by
 * message.
 */

import type { Socket } from 'node:net';
import type { SyncError } from '../errors/sync-error.ts';
import { ArrivedBytes, type ArrivedBytesOwner } from './arrived-bytes.ts';
import type { Connection } from './connection.ts';
import { Inbox, type InboxOwner, type InboxSource, type Incoming } from './inbox.ts';
import { MessageInflater } from './message-inflater.ts';

export class Arrivals implements ArrivedBytesOwner, InboxSource {
  readonly #connection: Connection;
  readonly #arrived: ArrivedBytes;
  readonly #inbox: Inbox;
  #inflater: MessageInflater | undefined;

  /** @param rawSocket to count arriving bytes */
  constructor(connection: Connection, owner: InboxOwner, rawSocket: Socket | undefined) {
    this.#connection = connection;
    const { service } = connection;
    const { limits } = service.config;
    this.#arrived = new ArrivedBytes(service.memory.arrived, limits.requestTimeoutMs, this);
    // Before the listener of `ws`, which then announces the messages that the bytes complete.
    rawSocket?.prependListener('data', (bytes) => this.#arrived.read(bytes));
    const onLimit = service.metrics.limitMet;
    this.#inbox = new Inbox({ limits, arrived: this.#arrived, source: this, owner, onLimit });
  }

  get holder(): string {
    return this.#connection.holder;
  }

  get isOpen(): boolean {
    return this.#connection.sendQueue.isOpen;
  }

  pause(): void {
    this.#connection.sendQueue.pause();
  }

  /** Reads the socket again. */
  resume(): void {
    this.#connection.sendQueue.resume();
    this.#inflater?.goOn();
  }

  roomAgain(): void {
    this.#inbox.resume();
  }

  refuseUnread(reason: SyncError): void {
    this.#connection.refuseUnread(reason);
  }

  /** Made for the first that asks. */
  get inflater(): MessageInflater {
    const { messageBytes, handshakeBytes } = this.#connection.service.config.limits;
    const max = { limit: 'limits.messageBytes', bytes: messageBytes } as const;
    const before = { limit: 'limits.handshakeBytes', bytes: handshakeBytes } as const;
    const isJoined = () => this.#connection.session !== undefined;
    this.#inflater ??= new MessageInflater({
      arrived: this.#arrived,
      // What follows the handshake waits for it.
      isReady: () => this.#inbox.hasRoom && (isJoined() || this.#inbox.isIdle),
      max: () => (isJoined() || messageBytes < handshakeBytes ? max : before),
      refuse: (reason) => this.refuseUnread(reason),
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
