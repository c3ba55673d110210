/**
 * The sockets without a handshake. Their clients are unknown, so all of them together are bounded:
 * in number, and each in bytes.
 *
 * If there are too many, a silent socket of the address with the most sockets is closed. So a
 * client that opens sockets and sends nothing loses its own first. The socket is chosen at random,
 * so that other clients behind the same address get in as well: the oldest one would be closed
 * before its handshake can arrive.
 */

import type { Socket } from 'node:net';
import { SyncError } from '../../errors/sync-error.ts';
import { addressToSource } from '../../hooks/client-source.ts';
import { Budget } from '../budgets/budget.ts';

const RETRY_MS = 1000;

export interface PendingHandshakeLimits {
  /** At once, of all addresses. */
  unauthenticatedSockets: number;
  /** The share of one address, in percent. */
  sharePerUser: number;
  /** The bytes that one socket may send before its handshake is accepted. */
  handshakeBytes: number;
}

export interface PendingPeer {
  /** Closes it with the reason. Must not throw, and must stop reading. */
  refuse(reason: SyncError): void;
  /** Stops reading until the handshake is accepted. */
  pause(): void;
}

export interface PendingHandshake {
  /** The handshake has arrived, and is being checked. */
  begin(): void;
  /** The handshake was accepted, or the socket is gone. */
  end(): void;
}

type Silent = readonly [PendingPeer, PendingHandshake];

export class PendingHandshakes {
  readonly #limits: PendingHandshakeLimits;
  /** Sockets that have sent no handshake, by address. Has no empty sets. */
  readonly #silentBySource = new Map<string, Set<Silent>>();
  readonly #shaking: Budget;
  readonly #random: () => number;
  #silent = 0;
  #beginning = 0;

  /** @param random a number from 0 up to, but not including, 1 */
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
   * To be called before the upgrade of a socket.
   * @throws SyncError OVERLOADED when no silent socket could make room
   */
  demandRoom(address?: string): void {
    if (this.#beginning >= this.#limits.unauthenticatedSockets) throw this.#tooMany();
    this.#shaking.demandRoom(addressToSource(address));
  }

  /** @param socket where arriving bytes are counted */
  add(peer: PendingPeer, socket: Socket | undefined, address?: string): PendingHandshake {
    const source = addressToSource(address);
    const hasRoom = this.#makeRoom(source);
    const handshake = this.#watch(peer, socket, source);
    if (!hasRoom) this.#refuse([peer, handshake]);
    return handshake;
  }

  /** @returns whether there is room for another socket of an address */
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

  /** Of the addresses with a silent socket, the one with the most pending sockets. */
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
    let isShaking = false;
    let bytes = 0;
    const count = (data: Buffer) => {
      bytes += data.length;
      if (bytes <= handshakeBytes) return;
      if (isShaking) {
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
        this.#shaking.count(source);
        isShaking = true;
        this.#beginning++;
      },
      end: () => {
        socket?.off('data', count);
        leave();
        if (!isShaking) return;
        isShaking = false;
        this.#shaking.give(source);
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
