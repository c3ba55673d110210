/**
 * A socket without a handshake: it counts among the pending handshakes until that has been checked, and
 * has so long to say one.
 */

import type { Socket } from 'node:net';
import { SyncError } from '../errors/sync-error.ts';
import type { PendingHandshake } from '../service/admission/pending-handshakes.ts';
import type { CoordinatorService } from '../service/coordinator-service.ts';

export interface HandshakeWaitOptions {
  service: CoordinatorService;
  rawSocket: Socket | undefined;
  remoteAddress: string | undefined;
  /** Stops reading the socket. */
  pause(): void;
  /** Refuses the client without reading anything else from it. */
  refuse(reason: SyncError): void;
  /** No handshake has come in time. */
  late(reason: SyncError): void;
}

export class HandshakeWait {
  readonly #pending: PendingHandshake;
  #timer: NodeJS.Timeout | undefined;

  constructor({ service, rawSocket, remoteAddress, ...peer }: HandshakeWaitOptions) {
    const { handshakeTimeoutMs } = service.config.limits;
    const late = () => {
      const limit = 'limits.handshakeTimeoutMs';
      const message = `no handshake within ${limit} (${handshakeTimeoutMs})`;
      peer.late(new SyncError('HANDSHAKE_TIMEOUT', message, { limit }));
    };
    this.#timer = setTimeout(late, handshakeTimeoutMs);
    this.#pending = service.pendingHandshakes.add(peer, rawSocket, remoteAddress);
  }

  /** It has come, and is being checked. */
  begin(): void {
    this.#endTimer();
    this.#pending.begin();
  }

  /** It has been checked, or the socket has closed. */
  end(): void {
    this.#endTimer();
    this.#pending.end();
  }

  #endTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
