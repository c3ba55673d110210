/**
 * What happens to a message before it is carried out: it waits for room in memory, and is decoded. A long one
 * is decoded in steps, so that it does not hold up other clients.
 */

import { SyncError, toSyncError } from '../errors/sync-error.ts';
import type { ClientMessage } from '../protocol/schemas.ts';
import { decodeClientMessage, RefusedRequest, requestIdOf } from '../wire/decode.ts';
import type { Connection } from './connection.ts';
import type { InboxOwner, Incoming } from './inbox.ts';
import type { Requests } from './requests.ts';

/** Shorter messages are bounded by `limits.messagesInFlight` alone. */
const SMALL_MESSAGE_BYTES = 1024;

export class MessageIntake implements InboxOwner {
  readonly #connection: Connection;
  readonly #requests: Requests;

  constructor(connection: Connection, requests: Requests) {
    this.#connection = connection;
    this.#requests = requests;
  }

  async take(message: Incoming): Promise<void> {
    const connection = this.#connection;
    connection.heard();
    const bytes = message?.length ?? 0;
    // Until it is decoded: what is answered later would keep the text for as long.
    let text = message;
    let decoded: ClientMessage | undefined;
    const take = async () => {
      const decoding = this.#decode(text);
      text = undefined;
      decoded = decoding instanceof Promise ? await decoding : decoding;
      // Wait for a recheck of the credentials that is under way, or is queued among many.
      const isRequest = connection.session !== undefined && decoded.type !== 'ping';
      const recheck = isRequest ? this.#requests.becomeCurrent() : undefined;
      if (recheck !== undefined) await recheck;
      await connection.carryOut(decoded);
    };
    try {
      await this.#withRoom(bytes, take);
    } catch (error) {
      // The client has been told already.
      if (error === connection.ended) return;
      const isKnown = error instanceof RefusedRequest;
      connection.replies.fail(toSyncError(error), isKnown ? error.requestId : requestIdOf(decoded));
    }
  }

  /** @throws SyncError MESSAGE_ERROR, or another code for what is wrong with it */
  #decode(text: Incoming): ClientMessage | Promise<ClientMessage> {
    if (text === undefined) {
      throw new SyncError('MESSAGE_ERROR', 'binary messages are not part of the protocol');
    }
    const { service } = this.#connection;
    return decodeClientMessage(text, service.config.limits, service.turn);
  }

  /**
   * Runs `take` once there is room for what a message of `bytes` becomes. The room is given back when the
   * batches have been answered that `take` began.
   * @returns settles when `take` has
   */
  #withRoom(bytes: number, take: () => Promise<void>): Promise<void> {
    if (bytes < SMALL_MESSAGE_BYTES) return take();
    const { service, holder } = this.#connection;
    return new Promise<void>((resolve, reject) => {
      const work = () => this.#requests.withAnswers(take, resolve);
      service.memory.work(holder, bytes, work).catch(reject);
    });
  }

  hasRoom(): Promise<void> | undefined {
    const { sendQueue, service } = this.#connection;
    const { queuedBytesPerSocket, messagesInFlight } = service.config.limits;
    const isFull = this.#requests.size >= messagesInFlight;
    if (!isFull && sendQueue.queuedBytes <= queuedBytesPerSocket) return undefined;
    return this.#makeRoom();
  }

  async #makeRoom(): Promise<void> {
    const { sendQueue, service } = this.#connection;
    const { queuedBytesPerSocket, messagesInFlight } = service.config.limits;
    if (sendQueue.queuedBytes > queuedBytesPerSocket) {
      service.metrics.limitMet('limits.queuedBytesPerSocket');
      await sendQueue.drained(queuedBytesPerSocket / 2);
    }
    if (this.#requests.size < messagesInFlight) return;
    service.metrics.limitMet('limits.messagesInFlight');
    await this.#requests.below(messagesInFlight);
  }
}
