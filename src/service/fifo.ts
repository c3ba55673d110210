/** First in, first out, at a constant cost each: shifting a long array moves all that is left. */

const COMPACT_FROM = 1024;

export class Fifo<Item> {
  /** None while nothing waits: most queues of most sockets are empty most of the time. */
  #items: (Item | undefined)[] | undefined;
  #head = 0;

  get length(): number {
    return this.#items === undefined ? 0 : this.#items.length - this.#head;
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
    // Now and then what has been taken is let go: moving the rest costs less than taking it did.
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
