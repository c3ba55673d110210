/**
 * Loops over items that may be large, such as rows, and lets go of each before the next is waited
 * for. `for await` and `yield*` do not: while a generator waits, its variables and what it was given
 * last stay alive, on every level of a stream. So what passes such items on is no generator: for
 * each item there are calls of functions, which have ended by then.
 */

type Several<T> = Iterable<T> | AsyncIterable<T>;

export interface Ending<Made> {
  /** Called after the last item. */
  ended?(): Promise<void> | void;
  /** What is given last when something fails, also `ended`; or it throws. */
  failed?(error: unknown): Made;
}

/** `for await (const item of items) yield* make(item)`. */
export function letGoOfEach<Item, Made>(
  items: AsyncIterable<Item>,
  make: (item: Item) => Several<Made>,
  ending: Ending<Made> = {},
): AsyncIterableIterator<Made> {
  return new LettingGo(items, make, ending);
}

/** `for await (const part of parts) yield* part`. */
export function joined<Made>(parts: AsyncIterable<Several<Made>>): AsyncIterableIterator<Made> {
  return letGoOfEach(parts, (part) => part);
}

/**
 * `for await (const item of items) if (!(await work(item))) break`.
 * @returns whether all items were worked on
 */
export async function workOnEach<Item>(
  items: AsyncIterable<Item>,
  work: (item: Item) => Promise<boolean>,
): Promise<boolean> {
  const worked = letGoOfEach(items, async function* (item) {
    yield await work(item);
  });
  for await (const goesOn of worked) if (!goesOn) return false;
  return true;
}

class LettingGo<Item, Made> implements AsyncIterableIterator<Made> {
  readonly #items: AsyncIterator<Item>;
  readonly #make: (item: Item) => Several<Made>;
  readonly #ending: Ending<Made>;
  /** What is left of the present item. */
  #made: Iterator<Made> | AsyncIterator<Made> | undefined;
  #isOver = false;
  /** The calls so far: they are carried out one after the other. Holds no result. */
  #calls: Promise<void> = Promise.resolve();

  constructor(
    items: AsyncIterable<Item>,
    make: (item: Item) => Several<Made>,
    ending: Ending<Made>,
  ) {
    this.#items = items[Symbol.asyncIterator]();
    this.#make = make;
    this.#ending = ending;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Made, undefined>> {
    return this.#inTurn(() => this.#next());
  }

  return(): Promise<IteratorResult<Made, undefined>> {
    return this.#inTurn(async () => {
      await this.#close();
      return { done: true, value: undefined };
    });
  }

  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const result = this.#calls.then(call);
    this.#calls = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  async #next(): Promise<IteratorResult<Made, undefined>> {
    try {
      while (!this.#isOver) {
        const result = await this.#made?.next();
        if (result?.done === false) return result;
        this.#made = undefined;
        await this.#advance();
      }
      return { done: true, value: undefined };
    } catch (error) {
      await this.#close();
      if (this.#ending.failed === undefined) throw error;
      return { done: false, value: this.#ending.failed(error) };
    }
  }

  /** To the next item. */
  async #advance(): Promise<void> {
    const { done, value } = await this.#items.next();
    if (done !== true) {
      const made = this.#make(value);
      this.#made =
        Symbol.asyncIterator in made ? made[Symbol.asyncIterator]() : made[Symbol.iterator]();
      return;
    }
    this.#isOver = true;
    await this.#ending.ended?.();
  }

  async #close(): Promise<void> {
    this.#isOver = true;
    const made = this.#made;
    this.#made = undefined;
    try {
      await made?.return?.();
    } finally {
      await this.#items.return?.();
    }
  }
}
