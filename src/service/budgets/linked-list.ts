/**
 * A list for items that leave in about the order in which they came, such as sockets. With a `Map`
 * or `Set`, minor GCs were seen to keep most of the deleted items until a full GC. Here a removed
 * entry has no references to or from the others.
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

  /** The item that has been in the list longest. */
  get first(): T | undefined {
    return this.#first?.value;
  }

  /** @returns removes the item, and tells whether it was still in the list */
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

  /** All items, oldest first. */
  toArray(): T[] {
    const values: T[] = [];
    for (let entry = this.#first; entry !== undefined; entry = entry.next) values.push(entry.value);
    return values;
  }
}
