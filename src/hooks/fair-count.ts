/**
 * Counts what runs for whom, up to a number for all of them together. When that is reached only
 * those have to wait who have their share of it: one for whom nothing ends holds up no other.
 */

export class FairCount {
  readonly #max: number;
  readonly #counts = new Map<string, number>();
  #sum = 0;

  /** With n of them there are about `max` × ln n at the most, since each may have its share. */
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

  /** Whether there are as many as may be, and this one has its share of them. */
  isFullFor(owner: string): boolean {
    if (this.#sum < this.#max) return false;
    const own = this.#counts.get(owner) ?? 0;
    const owners = this.#counts.size + (own === 0 ? 1 : 0);
    return own >= Math.max(1, this.#max / owners);
  }
}
