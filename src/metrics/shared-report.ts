/**
 * A public report about the server, such as its metrics. Requests while one is being made share it,
 * and the number made in a second is limited: beyond it requests get the last one again. All
 * requests share the same bytes, so that slow readers take the memory once.
 */

/** More than honest readers need. */
const MADE_AT_ONCE = 10;
const MADE_PER_SECOND = 10;

export class SharedReport {
  readonly #make: () => Promise<string>;
  readonly #nowMs: () => number;
  #making: Promise<Buffer> | undefined;
  #last: Buffer | undefined;
  #allowed = MADE_AT_ONCE;
  #countedAtMs: number;

  /** @param nowMs a monotonic clock, in milliseconds */
  constructor(make: () => Promise<string>, nowMs: () => number = () => performance.now()) {
    this.#make = make;
    this.#nowMs = nowMs;
    this.#countedAtMs = nowMs();
  }

  /** @returns UTF-8, at most a tenth of a second old. Rejects if making it fails. */
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
