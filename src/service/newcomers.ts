/**
 * The sockets that have not shaken hands yet. Nobody knows who they are, so all of them together
 * may cost only so much: a number of sockets, and for each some bytes and some time.
 *
 * Where there are too many, the one that has been silent longest makes room: whoever opens sockets
 * and says nothing loses them before anybody else is turned away.
 */

import type { Socket } from 'node:net';
import { SyncError } from '../errors.ts';
import { LinkedList } from './linked-list.ts';

const RETRY_MS = 1000;

export interface NewcomerLimits {
  /** At once. */
  unauthenticatedSockets: number;
  /** Of one of them, with all that is sent before its handshake. */
  handshakeBytes: number;
}

export interface Newcomer {
  /** Ends it, saying why. Must not throw, and must stop reading. */
  refuse(reason: SyncError): void;
  /** Reads no further, until it is known. */
  pause(): void;
}

export interface Stay {
  /** Its handshake has come, and is being looked at. */
  shakesHands(): void;
  /** It is known now, or has gone. */
  end(): void;
}

export class Newcomers {
  readonly #limits: NewcomerLimits;
  /** Those without a handshake, oldest first. */
  readonly #silent = new LinkedList<[Newcomer, Stay]>();
  #shakingHands = 0;

  constructor(limits: NewcomerLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#silent.size + this.#shakingHands;
  }

  /**
   * For who has not even been given a socket.
   * @throws SyncError OVERLOADED when none of those that are there could make room
   */
  demandRoom(): void {
    if (this.#shakingHands >= this.#limits.unauthenticatedSockets) throw this.#tooMany();
  }

  /** @param socket what its bytes arrive on, to be counted once they have been read */
  add(newcomer: Newcomer, socket: Socket | undefined): Stay {
    const stay = this.#watch(newcomer, socket);
    if (this.size > this.#limits.unauthenticatedSockets) this.#refuseOldest();
    return stay;
  }

  #refuseOldest(): void {
    const oldest = this.#silent.first;
    if (oldest === undefined) return;
    const [newcomer, stay] = oldest;
    stay.end();
    newcomer.refuse(this.#tooMany());
  }

  #watch(newcomer: Newcomer, socket: Socket | undefined): Stay {
    const { handshakeBytes } = this.#limits;
    let isShakingHands = false;
    let bytes = 0;
    const count = (data: Buffer) => {
      bytes += data.length;
      if (bytes <= handshakeBytes) return;
      if (isShakingHands) {
        newcomer.pause();
        return;
      }
      stay.end();
      const message = `more than limits.handshakeBytes (${handshakeBytes}) before the handshake`;
      const limit = 'limits.handshakeBytes';
      newcomer.refuse(new SyncError('TOO_LARGE', message, { limit }));
    };
    const stay: Stay = {
      shakesHands: () => {
        if (!leave()) return;
        isShakingHands = true;
        this.#shakingHands++;
      },
      end: () => {
        socket?.off('data', count);
        leave();
        if (isShakingHands) this.#shakingHands--;
        isShakingHands = false;
      },
    };
    socket?.on('data', count);
    const leave = this.#silent.push([newcomer, stay]);
    return stay;
  }

  #tooMany(): SyncError {
    const { unauthenticatedSockets } = this.#limits;
    const message = `limits.unauthenticatedSockets (${unauthenticatedSockets}) have not shaken hands`;
    const limit = 'limits.unauthenticatedSockets';
    return new SyncError('OVERLOADED', message, { retryAfterMs: RETRY_MS, limit });
  }
}
