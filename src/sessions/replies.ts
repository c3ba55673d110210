/** What one client is told beside its answers: messages of the protocol, and what went wrong. */

import { isClientGone } from '../errors/client-gone.ts';
import { internalCause, type SyncError } from '../errors/sync-error.ts';
import { WS_CLOSE } from '../protocol/close-codes.ts';
import type { ServerMessage } from '../protocol/server-messages.ts';
import { WS_OUTCOMES } from '../protocol/ws-outcomes.ts';
import type { CoordinatorService } from '../service/coordinator-service.ts';
import type { SendQueue } from './send-queue.ts';

export class Replies {
  readonly #service: CoordinatorService;
  readonly #sendQueue: SendQueue;
  readonly #remoteAddress: string | undefined;

  constructor(
    service: CoordinatorService,
    sendQueue: SendQueue,
    remoteAddress: string | undefined,
  ) {
    this.#service = service;
    this.#sendQueue = sendQueue;
    this.#remoteAddress = remoteAddress;
  }

  send(message: ServerMessage): void {
    this.#sendQueue.send(JSON.stringify(message));
  }

  /** Tells the client what went wrong, closes the socket where that ends it, and logs the cause. */
  fail(error: SyncError, requestId?: string): void {
    if (isClientGone(error)) return;
    const { code, message, retryAfterMs, serverTimeMs } = error;
    const { fatal, close } = WS_OUTCOMES[code];
    this.#service.metrics.errorSent(error);
    const cause = internalCause(error);
    if (cause !== undefined) this.#service.faults.addError(code, this.#remoteAddress, cause);
    this.send({ type: 'error', code, message, fatal, requestId, retryAfterMs, serverTimeMs });
    if (close !== undefined) this.#sendQueue.close(close, code);
  }

  /** The same to a client of which nothing more is read. */
  refuseUnread(reason: SyncError): void {
    this.fail(reason);
    // After TOO_LARGE the client is still sending: if the socket were cut it would not read the
    // reason.
    if (reason.code === 'TOO_LARGE') this.#sendQueue.close(WS_CLOSE.tooBig, reason.code);
    else this.#sendQueue.closeNow(WS_CLOSE.tryAgain, reason.code);
  }

  /** The same, and the end of the connection in any case. */
  end(error: SyncError): void {
    this.fail(error);
    this.#sendQueue.close(WS_OUTCOMES[error.code].handshakeClose, error.code);
  }
}
