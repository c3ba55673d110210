/**
 * What happens to a message before it is carried out: it waits for room in memory, and is decoded. A long one
 * is decoded in steps, so that it does not hold up other clients.
 */

import { SyncError } from '../errors/sync-error.ts';
import type { ClientMessage } from '../protocol/schemas.ts';
import type { CoordinatorService } from '../service/coordinator-service.ts';
import { decodeClientMessage } from '../wire/decode.ts';
import type { Incoming } from './inbox.ts';
import type { Requests } from './requests.ts';
import type { SendQueue } from './send-queue.ts';

/** Shorter messages are bounded by `limits.messagesInFlight` alone. */
const SMALL_MESSAGE_BYTES = 1024;

export interface MessageIntakeOptions {
  service: CoordinatorService;
  sendQueue: SendQueue;
  requests: Requests;
  /** Whose share of memory the messages count in. */
  holder(): string;
}

export class MessageIntake {
  readonly #options: MessageIntakeOptions;

  constructor(options: MessageIntakeOptions) {
    this.#options = options;
  }

  /** @throws SyncError MESSAGE_ERROR, or another code for what is wrong with it */
  decode(text: Exclude<Incoming, { ping: unknown }>): ClientMessage | Promise<ClientMessage> {
    if (text === undefined) {
      throw new SyncError('MESSAGE_ERROR', 'binary messages are not part of the protocol');
    }
    const { service } = this.#options;
    return decodeClientMessage(text, service.config.limits, service.turn);
  }

  /**
   * Runs `take` once there is room for what a message of `bytes` becomes. The room is given back when the
   * batches have been answered that `take` began.
   * @returns settles when `take` has
   */
  withRoom(bytes: number, take: () => Promise<void>): Promise<void> {
    if (bytes < SMALL_MESSAGE_BYTES) return take();
    const { service, requests, holder } = this.#options;
    return new Promise<void>((resolve, reject) => {
      const work = () => requests.withAnswers(take, resolve);
      service.memory.work(holder(), bytes, work).catch(reject);
    });
  }

  /** `undefined` if the next message may be taken at once; else resolves when it may. */
  hasRoom(): Promise<void> | undefined {
    const { sendQueue, service, requests } = this.#options;
    const { queuedBytesPerSocket, messagesInFlight } = service.config.limits;
    const isFull = requests.inFlight.size >= messagesInFlight;
    if (!isFull && sendQueue.queuedBytes <= queuedBytesPerSocket) return undefined;
    return this.#makeRoom();
  }

  async #makeRoom(): Promise<void> {
    const { sendQueue, service, requests } = this.#options;
    const { queuedBytesPerSocket, messagesInFlight } = service.config.limits;
    if (sendQueue.queuedBytes > queuedBytesPerSocket) {
      service.metrics.limitMet('limits.queuedBytesPerSocket');
      await sendQueue.drained(queuedBytesPerSocket / 2);
    }
    if (requests.inFlight.size < messagesInFlight) return;
    service.metrics.limitMet('limits.messagesInFlight');
    await requests.inFlight.below(messagesInFlight);
  }
}
