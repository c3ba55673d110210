/**
 * The sockets that have no handshake yet. Nobody knows who they are, so all of them together
 * may cost only so much: a number of sockets, and for each some bytes and some time.
 *
 * Where there are too many, one that is silent makes room, of the address that has most: whoever opens
 * sockets and says nothing loses them before anybody else is turned away. Which one of that address is left
 * to chance, so that who shares it gets in, too, however fast it opens others: the oldest would be
 * gone before its handshake can arrive.
 */

import type { Socket } from 'node:net';
import { SyncError } from '../errors/sync-error.ts';
import { addressToSource, Budget } from '../service/budget.ts';

const RETRY_MS = 1000;

export interface PendingHandshakeLimits {
  /** At once. */
  unauthenticatedSockets: number;
  /** Of one address, in percent. */
  sharePerUser: number;
  /** Of one of them, with all that is sent before its handshake. */
  handshakeBytes: number;
}

export interface PendingPeer {
  /** Ends it, saying why. Must not throw, and must stop reading. */
  refuse(reason: SyncError): void;
  /** Reads no further, until it is known. */
  pause(): void;
}

export interface PendingHandshake {
  /** Its handshake has come, and is being looked at. */
  begin(): void;
  /** It is known now, or has gone. */
  end(): void;
}

type Silent = readonly [PendingPeer, PendingHandshake];

export class PendingHandshakes {
  readonly #limits: PendingHandshakeLimits;
  /** Those without a handshake. No address is there for nothing. */
  readonly #silentBySource = new Map<string, Set<Silent>>();
  readonly #shaking: Budget;
  readonly #random: () => number;
  #silent = 0;
  #beginning = 0;

  /** @param random from 0 up to 1 */
  constructor(limits: PendingHandshakeLimits, random = Math.random) {
    this.#limits = limits;
    const { unauthenticatedSockets: max, sharePerUser } = limits;
    this.#shaking = new Budget({ limit: 'limits.unauthenticatedSockets', max, sharePerUser });
    this.#random = random;
  }

  get size(): number {
    return this.#silent + this.#beginning;
  }

  /**
   * For who has not even been given a socket.
   * @throws SyncError OVERLOADED when none of those that are there could make room
   */
  demandRoom(address?: string): void {
    if (this.#beginning >= this.#limits.unauthenticatedSockets) throw this.#tooMany();
    this.#shaking.demandRoom(addressToSource(address));
  }

  /** @param socket what its bytes arrive on, to be counted once they have been read */
  add(peer: PendingPeer, socket: Socket | undefined, address?: string): PendingHandshake {
    const source = addressToSource(address);
    const hasRoom = this.#makeRoom(source);
    const handshake = this.#watch(peer, socket, source);
    if (!hasRoom) this.#refuse([peer, handshake]);
    return handshake;
  }

  /** @returns whether there is room for one more from an address */
  #makeRoom(source: string): boolean {
    const isFull = this.size >= this.#limits.unauthenticatedSockets;
    const hasShare = this.#countOf(source) >= this.#shaking.max;
    if (!isFull && !hasShare) return true;
    const silent = [...(this.#silentBySource.get(hasShare ? source : this.#mostSilent()) ?? [])];
    const chosen = silent[Math.floor(this.#random() * silent.length)];
    if (chosen === undefined) return false;
    this.#refuse(chosen);
    return true;
  }

  #refuse([peer, handshake]: Silent): void {
    handshake.end();
    peer.refuse(this.#tooMany());
  }

  #countOf(source: string): number {
    return (this.#silentBySource.get(source)?.size ?? 0) + this.#shaking.takenBy(source);
  }

  /** Of those addresses that have a silent one, the one with most pending ones. */
  #mostSilent(): string {
    let most = '';
    for (const source of this.#silentBySource.keys()) {
      if (this.#countOf(source) > this.#countOf(most)) most = source;
    }
    return most;
  }

  #addSilent(source: string, silent: Silent): () => boolean {
    const others = this.#silentBySource.get(source) ?? new Set();
    this.#silentBySource.set(source, others.add(silent));
    this.#silent++;
    return () => {
      if (!others.delete(silent)) return false;
      this.#silent--;
      if (others.size === 0) this.#silentBySource.delete(source);
      return true;
    };
  }

  #watch(peer: PendingPeer, socket: Socket | undefined, source: string): PendingHandshake {
    const { handshakeBytes } = this.#limits;
    let handsFree: (() => void) | undefined;
    let bytes = 0;
    const count = (data: Buffer) => {
      bytes += data.length;
      if (bytes <= handshakeBytes) return;
      if (handsFree !== undefined) {
        peer.pause();
        return;
      }
      handshake.end();
      const message = `more than limits.handshakeBytes (${handshakeBytes}) before the handshake`;
      const limit = 'limits.handshakeBytes';
      peer.refuse(new SyncError('TOO_LARGE', message, { limit }));
    };
    const handshake: PendingHandshake = {
      begin: () => {
        if (!leave()) return;
        handsFree = this.#shaking.count(source);
        this.#beginning++;
      },
      end: () => {
        socket?.off('data', count);
        leave();
        if (handsFree === undefined) return;
        handsFree();
        handsFree = undefined;
        this.#beginning--;
      },
    };
    socket?.on('data', count);
    const leave = this.#addSilent(source, [peer, handshake]);
    return handshake;
  }

  #tooMany(): SyncError {
    const { unauthenticatedSockets } = this.#limits;
    const message = `limits.unauthenticatedSockets (${unauthenticatedSockets}) have no handshake yet`;
    const limit = 'limits.unauthenticatedSockets';
    return new SyncError('OVERLOADED', message, { retryAfterMs: RETRY_MS, limit });
  }
}
