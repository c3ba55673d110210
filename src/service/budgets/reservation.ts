/** Bytes of a budget that are held for one purpose. */

import type { SyncError } from '../../errors/sync-error.ts';
import type { Holding, HoldingPeer } from './holdings.ts';

/** Bytes that are held until `give`. */
export interface Reservation {
  readonly bytes: number;
  /** Sets the size to what turned out to be needed, without waiting. */
  adjust(bytes: number): void;
  /**
   * Gives back all it holds, then waits for `bytes`. While it waits it holds nothing, so that no
   * two reservations wait for each other.
   * @throws SyncError OVERLOADED; it holds nothing then
   */
  retake(bytes: number): Promise<void>;
  /** Gives back what it holds. A second call does nothing. */
  give(): void;
}

/** Whose bytes they are: see `ByteBudget`. */
interface Source {
  take(client: string, bytes: number): Promise<void> | undefined;
  adjust(client: string, from: number, to: number): void;
  give(client: string, bytes: number): void;
  watch(holding: Holding): () => void;
}

export class Reserved implements Reservation, Holding {
  readonly client: string;
  readonly #budget: Source;
  readonly #peer: HoldingPeer | undefined;
  readonly #leave: (() => void) | undefined;
  #bytes: number;
  #isGiven = false;

  /**
   * @param bytes taken already
   * @param peer whoever takes what they are for
   */
  constructor(budget: Source, client: string, bytes: number, peer?: HoldingPeer) {
    this.#budget = budget;
    this.client = client;
    this.#bytes = bytes;
    this.#peer = peer;
    if (peer !== undefined) this.#leave = budget.watch(this);
  }

  get bytes(): number {
    return this.#bytes;
  }

  moved(): number {
    return this.#peer?.moved() ?? 0;
  }

  get isAwaited(): boolean {
    return this.#peer?.isAwaited === true;
  }

  giveWay(reason: SyncError): void {
    this.give();
    this.#peer?.giveWay(reason);
  }

  adjust(bytes: number): void {
    if (this.#isGiven) return;
    const before = this.#bytes;
    this.#bytes = bytes;
    this.#budget.adjust(this.client, before, bytes);
  }

  async retake(bytes: number): Promise<void> {
    this.adjust(0);
    const more = this.#budget.take(this.client, bytes);
    if (more !== undefined) await more;
    if (this.#isGiven) this.#budget.give(this.client, bytes);
    else this.#bytes = bytes;
  }

  give(): void {
    this.adjust(0);
    this.#isGiven = true;
    this.#leave?.();
  }
}
