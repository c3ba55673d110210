/**
 * What is held for as long as a peer lets it: a body that arrives, an answer that is taken. When others wait
 * for room, those give way that don't get on. Counted in looks, not by the clock: between two looks
 * the event loop has read what had arrived, so a busy server blames nobody for it.
 */

import type { SyncError } from '../../errors/sync-error.ts';

/** The other end of what is held. */
export interface HoldingPeer {
  /** Bytes that it has sent, or taken, so far. */
  moved(): number;
  /** Whether it is the peer that is waited for, and not this side. */
  readonly isAwaited: boolean;
  /** Ends it. What is held is given back at once. */
  giveWay(reason: SyncError): void;
}

export interface Holding extends HoldingPeer {
  readonly client: string;
  /** That are held now. */
  readonly bytes: number;
}

/** In so many looks a peer has to move this part of what is held. */
export const LOOKS_MAX = 4;
const MOVED_PART = 1 / 16;

interface Progress {
  moved: number;
  /** Looks since then. */
  looks: number;
}

/** Whose turn it is to give way. */
export interface Wanted {
  /** All that a client holds. */
  heldBy(client: string): number;
  /** Whether a client that holds so much is in the way. */
  isInTheWay(held: number): boolean;
  /** What the client that waits would hold. */
  bytes: number;
  /** It has waited for long: then who has twice as much gives way, also if it gets on. */
  isUrgent: boolean;
}

export class Holdings {
  readonly #progress = new Map<Holding, Progress>();

  get isEmpty(): boolean {
    return this.#progress.size === 0;
  }

  /** @returns to be called when it is not held any more, or not for the peer's sake */
  add(holding: Holding): () => void {
    this.#progress.set(holding, { moved: holding.moved(), looks: 0 });
    return () => this.#progress.delete(holding);
  }

  look(): void {
    for (const [holding, progress] of this.#progress) {
      const moved = holding.moved();
      const isMoving = moved - progress.moved >= Math.max(1, holding.bytes * MOVED_PART);
      if (isMoving || !holding.isAwaited) {
        progress.moved = moved;
        progress.looks = 0;
      } else progress.looks++;
    }
  }

  /**
   * Takes out who gives way to a client: of those that don't get on one of who holds most, if that is
   * more than the client would hold.
   */
  giverTo({ heldBy, isInTheWay, bytes, isUrgent }: Wanted): Holding | undefined {
    let giver: Holding | undefined;
    let best = [0, 0, 0];
    for (const [holding, { looks }] of this.#progress) {
      const held = heldBy(holding.client);
      if (holding.bytes === 0 || held <= bytes || !isInTheWay(held)) continue;
      const isStill = looks >= LOOKS_MAX;
      if (!isStill && !(isUrgent && held >= 2 * bytes)) continue;
      const rank = [isStill ? 1 : 0, held, holding.bytes];
      if (!isMore(rank, best)) continue;
      best = rank;
      giver = holding;
    }
    if (giver !== undefined) this.#progress.delete(giver);
    return giver;
  }
}

function isMore(rank: readonly number[], other: readonly number[]): boolean {
  const differs = rank.findIndex((value, i) => value !== other[i]);
  return differs >= 0 && (rank[differs] ?? 0) > (other[differs] ?? 0);
}
