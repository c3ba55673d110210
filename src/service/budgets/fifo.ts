/** A first-in-first-out queue with constant cost. `Array.shift` would move all remaining items. */

const COMPACT_FROM = 1024;

export class Fifo<Item> {
  /** `undefined` while the queue is empty, which most sockets' queues are. */
  #items: (Item | undefined)[] | undefined;
  #head = 0;

  get length(): number {
    return this.#items === undefined ? 0 : this.#items.length - this.#head;
  }

  /** The item that `shift` takes next. */
  get first(): Item | undefined {
    return this.#items?.[this.#head];
  }

  push(item: Item): void {
    if (this.#items === undefined) this.#items = [item];
    else this.#items.push(item);
  }

  shift(): Item | undefined {
    if (this.#items === undefined) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head === this.#items.length) this.clear();
    // Drops the taken items when they are half of the array, so that this costs less than taking
    // them.
    else if (this.#head >= COMPACT_FROM && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  clear(): void {
    this.#items = undefined;
    this.#head = 0;
  }
}
