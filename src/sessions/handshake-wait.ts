/**
 * A socket without a handshake: it counts among the pending handshakes until that has been checked, and
 * has so long to say one.
 */

import type { Socket } from 'node:net';
import { SyncError } from '../errors/sync-error.ts';
import type { PendingHandshake, PendingPeer } from '../service/admission/pending-handshakes.ts';
import type { Connection } from './connection.ts';

export class HandshakeWait implements PendingPeer {
  readonly #connection: Connection;
  readonly #pending: PendingHandshake;
  #timer: NodeJS.Timeout | undefined;

  /** @param late called when no handshake has come in time */
  constructor(
    connection: Connection,
    rawSocket: Socket | undefined,
    late: (reason: SyncError) => void,
  ) {
    this.#connection = connection;
    const { service, remoteAddress } = connection;
    const { handshakeTimeoutMs } = service.config.limits;
    const onTimeout = () => {
      const limit = 'limits.handshakeTimeoutMs';
      const message = `no handshake within ${limit} (${handshakeTimeoutMs})`;
      late(new SyncError('HANDSHAKE_TIMEOUT', message, { limit }));
    };
    this.#timer = setTimeout(onTimeout, handshakeTimeoutMs);
    this.#pending = service.pendingHandshakes.add(this, rawSocket, remoteAddress);
  }

  pause(): void {
    this.#connection.sendQueue.pause();
  }

  refuse(reason: SyncError): void {
    this.#connection.refuseUnread(reason);
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
