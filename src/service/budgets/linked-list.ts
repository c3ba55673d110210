/**
 * A list for items that leave in about the order in which they came, such as sockets. With a `Map`
 * or `Set`, minor GCs were seen to keep most of the deleted items until a full GC. Here a removed
 * entry has no references to or from the others.
 */

/** An item's place in a list; but for `value` it is the list's own. */
export interface Entry<T> {
  readonly value: T;
  isHere: boolean;
  previous: Entry<T> | undefined;
  next: Entry<T> | undefined;
}

export class LinkedList<T> {
  #first: Entry<T> | undefined;
  #last: Entry<T> | undefined;

  push(value: T): Entry<T> {
    const entry: Entry<T> = { value, isHere: true, previous: this.#last, next: undefined };
    if (this.#last === undefined) this.#first = entry;
    else this.#last.next = entry;
    this.#last = entry;
    return entry;
  }

  /** @returns whether the entry was still in the list */
  remove(entry: Entry<T>): boolean {
    if (!entry.isHere) return false;
    const { previous, next } = entry;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    entry.isHere = false;
    entry.previous = undefined;
    entry.next = undefined;
    return true;
  }

  /** All items, oldest first. */
  toArray(): T[] {
    const values: T[] = [];
    for (let entry = this.#first; entry !== undefined; entry = entry.next) values.push(entry.value);
    return values;
  }
}
