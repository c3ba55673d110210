/**
 * A report about the server that anybody may ask for, such as its metrics. Whoever asks while one is
 * being made gets that one, and only so many are made in a second: beyond that the last one
 * is given again. All get the same bytes, so that many who read slowly hold them once.
 */

/** More than anybody needs who does not mean to keep the server busy. */
const MADE_AT_ONCE = 10;
const MADE_PER_SECOND = 10;

export class SharedReport {
  readonly #make: () => Promise<string>;
  readonly #nowMs: () => number;
  #making: Promise<Buffer> | undefined;
  #last: Buffer | undefined;
  #allowed = MADE_AT_ONCE;
  #countedAtMs: number;

  /** @param nowMs of a clock that only goes forward, in milliseconds */
  constructor(make: () => Promise<string>, nowMs: () => number = () => performance.now()) {
    this.#make = make;
    this.#nowMs = nowMs;
    this.#countedAtMs = nowMs();
  }

  /** @returns UTF-8, at most a tenth of a second old. Rejects as making it does. */
  get(): Promise<Buffer> {
    if (this.#making !== undefined) return this.#making;
    if (this.#last !== undefined && !this.#mayMake()) return Promise.resolve(this.#last);
    const making = this.#make().then((text) => {
      this.#last = Buffer.from(text);
      return this.#last;
    });
    this.#making = making.finally(() => {
      this.#making = undefined;
    });
    return this.#making;
  }

  #mayMake(): boolean {
    const nowMs = this.#nowMs();
    const earned = ((nowMs - this.#countedAtMs) * MADE_PER_SECOND) / 1000;
    this.#allowed = Math.min(MADE_AT_ONCE, this.#allowed + earned);
    this.#countedAtMs = nowMs;
    if (this.#allowed < 1) return false;
    this.#allowed--;
    return true;
  }
}
