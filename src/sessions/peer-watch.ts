/**
 * Finds peers that take nothing any more, and peers that have vanished: a device that has lost its network or
 * its power sends no FIN. A peer that has been silent for a while is pinged, and closed if it stays silent.
 *
 * Any byte is a sign of life, not only a pong: in the middle of a long message a client cannot send one.
 * Silence is counted in looks, not by the clock. Between two looks the event loop has read what had
 * arrived, so a server that was busy or suspended cuts no peer for it.
 */

import type { CoordinatorConfig } from '../config/schema.ts';
import type { LimitName } from '../errors/limit-names.ts';
import { WS_CLOSE } from '../protocol/close-codes.ts';
import { type Entry, LinkedList } from '../service/budgets/linked-list.ts';

/** What is watched of a socket; see `SocketSendQueue`. */
export interface Peer {
  readonly isOpen: boolean;
  /** Whether this side does not read it at the moment. */
  readonly isPaused: boolean;
  /** That have been read so far. */
  readonly arrivedBytes: number;
  /** That wait until it takes them. */
  readonly queuedBytes: number;
  /** For how long it has taken nothing of them, in milliseconds. */
  readonly stalledMs: number;
  ping(): void;
  close(code: number, reason: string): void;
}

export type PeerWatchLimits = Pick<
  CoordinatorConfig['limits'],
  'stalledMs' | 'pingMs' | 'pongTimeoutMs'
>;

export interface Watched<P extends Peer> {
  peer: P;
  arrivedBytes: number;
  /** Looks at which nothing had arrived, since something did or it was pinged. */
  silentLooks: number;
  isPinged: boolean;
}

/** Each limit is met at most a quarter of the shortest too late. */
const LOOKS_PER_LIMIT = 4;
const LOOK_MS_MIN = 10;
/** Written before others have their turn, where many have been silent for as long. */
const PINGS_PER_TURN = 100;

export class PeerWatch<P extends Peer> {
  readonly #limits: PeerWatchLimits;
  readonly #onLimit: (limit: LimitName) => void;
  readonly #watched = new LinkedList<Watched<P>>();
  readonly #looksBeforePing: number;
  readonly #looksBeforeEnd: number;
  readonly #timer: NodeJS.Timeout;
  #isLooking = false;

  /** @param onLimit told of each peer that is closed for it */
  constructor(limits: PeerWatchLimits, onLimit: (limit: LimitName) => void) {
    const { stalledMs, pingMs, pongTimeoutMs } = limits;
    this.#limits = limits;
    this.#onLimit = onLimit;
    const lookMs = Math.max(
      LOOK_MS_MIN,
      Math.min(stalledMs, pingMs, pongTimeoutMs) / LOOKS_PER_LIMIT,
    );
    this.#looksBeforePing = Math.ceil(pingMs / lookMs);
    // One more: the ping was sent some time after the look before.
    this.#looksBeforeEnd = Math.ceil(pongTimeoutMs / lookMs) + 1;
    this.#timer = setInterval(() => this.#look(), lookMs);
  }

  /** @returns for `remove` */
  add(peer: P): Entry<Watched<P>> {
    return this.#watched.push({ peer, arrivedBytes: 0, silentLooks: 0, isPinged: false });
  }

  /** Its socket has closed. */
  remove(entry: Entry<Watched<P>>): void {
    this.#watched.remove(entry);
  }

  /** Those whose sockets have not closed. */
  get peers(): P[] {
    return this.#watched.toArray().map(({ peer }) => peer);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    let pings = 0;
    for (const watched of this.#watched.toArray()) {
      if (!watched.peer.isOpen || this.#endStalled(watched.peer)) continue;
      if (this.#isDueForPing(watched)) {
        watched.peer.ping();
        if (++pings % PINGS_PER_TURN === 0) await new Promise(setImmediate);
      }
    }
    this.#isLooking = false;
  }

  #endStalled(peer: P): boolean {
    if (peer.stalledMs < this.#limits.stalledMs) return false;
    this.#onLimit('limits.stalledMs');
    peer.close(WS_CLOSE.tryAgain, 'too slow');
    return true;
  }

  #isDueForPing(watched: Watched<P>): boolean {
    if (isAlive(watched)) {
      watched.silentLooks = 0;
      watched.isPinged = false;
      return false;
    }
    watched.silentLooks++;
    if (!watched.isPinged) {
      if (watched.silentLooks < this.#looksBeforePing) return false;
      watched.silentLooks = 0;
      watched.isPinged = true;
      return true;
    }
    if (watched.silentLooks >= this.#looksBeforeEnd) {
      this.#onLimit('limits.pongTimeoutMs');
      watched.peer.close(WS_CLOSE.tryAgain, 'no answer to a ping');
    }
    return false;
  }
}

/** What is not read, or has not taken what was sent before a ping, can't have answered it: other limits hold for that. */
function isAlive<P extends Peer>(watched: Watched<P>): boolean {
  const { isPaused, queuedBytes, arrivedBytes } = watched.peer;
  const hasSpoken = arrivedBytes !== watched.arrivedBytes;
  watched.arrivedBytes = arrivedBytes;
  return hasSpoken || isPaused || queuedBytes > 0;
}
