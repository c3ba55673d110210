/**
 * Counts running calls by owner, with a limit for all together. When it is reached, only owners
 * that use their share have to wait, so that an owner whose calls never end blocks no other.
 */

export class FairCount {
  readonly #max: number;
  readonly #counts = new Map<string, number>();
  #sum = 0;

  /** With n owners there may be about `max` × ln n calls, since each may still use its share. */
  constructor(max: number) {
    this.#max = max;
  }

  add(owner: string): void {
    this.#sum++;
    this.#counts.set(owner, (this.#counts.get(owner) ?? 0) + 1);
  }

  remove(owner: string): void {
    this.#sum--;
    const left = (this.#counts.get(owner) ?? 0) - 1;
    if (left > 0) this.#counts.set(owner, left);
    else this.#counts.delete(owner);
  }

  /** Whether the limit is reached, and this owner uses its share. */
  isFullFor(owner: string): boolean {
    if (this.#sum < this.#max) return false;
    const own = this.#counts.get(owner) ?? 0;
    const owners = this.#counts.size + (own === 0 ? 1 : 0);
    return own >= Math.max(1, this.#max / owners);
  }
}
