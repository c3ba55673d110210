/**
 * Those that come and go in about the order in which they came, such as sockets.
 *
 * In a `Map` or `Set` of them the collector was seen to keep most of those that had long been
 * deleted, until it next looked through the whole heap. Here who has left points at nobody, and
 * nobody at it.
 */

interface Entry<T> {
  value: T;
  previous: Entry<T> | undefined;
  next: Entry<T> | undefined;
}

export class LinkedList<T> {
  #first: Entry<T> | undefined;
  #last: Entry<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The one that has been here longest. */
  get first(): T | undefined {
    return this.#first?.value;
  }

  /** @returns what takes it out again, and says whether it was still there */
  push(value: T): () => boolean {
    const entry: Entry<T> = { value, previous: this.#last, next: undefined };
    if (this.#last === undefined) this.#first = entry;
    else this.#last.next = entry;
    this.#last = entry;
    this.#size++;
    let isHere = true;
    return () => {
      const wasHere = isHere;
      if (wasHere) this.#unlink(entry);
      isHere = false;
      return wasHere;
    };
  }

  #unlink(entry: Entry<T>): void {
    const { previous, next } = entry;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    entry.previous = undefined;
    entry.next = undefined;
    this.#size--;
  }

  /** All of them, oldest first. */
  toArray(): T[] {
    const values: T[] = [];
    for (let entry = this.#first; entry !== undefined; entry = entry.next) values.push(entry.value);
    return values;
  }
}
