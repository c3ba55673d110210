/**
 * Integers that a double can't hold. `JSON.parse` rounds them without a word, so that two keys may become one
 * row. What JavaScript writes is read as it was, however large: it is told by that, and not by its size.
 *
 * Called for every text that is parsed: a run of so many digits covers one character in sixteen, and only those are
 * looked at.
 */

/** Of the least integer that may be rounded, 2^53 + 1. */
const DIGITS = 16;
const [ZERO, NINE] = [48, 57];

function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= ZERO && code <= NINE;
}

/** @param text that is JSON; @returns the first integer in it that would be another one */
export function findRounded(text: string): string | undefined {
  let strings: StringScan | undefined;
  for (let at = DIGITS - 1; at < text.length; at += DIGITS) {
    if (!isDigit(text, at)) continue;
    let [from, to] = [at, at + 1];
    while (isDigit(text, from - 1)) from--;
    while (isDigit(text, to)) to++;
    at = Math.max(at, to - DIGITS);
    if (to - from < DIGITS || !mayBeInteger(text, from, to)) continue;
    const digits = text.slice(from, to);
    if (!isRounded(digits)) continue;
    strings ??= new StringScan(text);
    if (!strings.covers(from)) return text[from - 1] === '-' ? `-${digits}` : digits;
  }
  return undefined;
}

/** As far as its neighbours tell: within a text anything may stand there. */
function mayBeInteger(text: string, from: number, to: number): boolean {
  const before = text[text[from - 1] === '-' ? from - 2 : from - 1] ?? ' ';
  return ' \t\n\r:,['.includes(before) && ' \t\n\r,]}'.includes(text[to] ?? ' ');
}

function isRounded(digits: string): boolean {
  const value = Number(digits);
  if (!Number.isFinite(value)) return true;
  return String(value) !== digits && BigInt(value) !== BigInt(digits);
}

/** Which places of a JSON text are within its strings; asked about places in ascending order. */
class StringScan {
  readonly #text: string;
  /** The next string that ends behind the last place. */
  #open: number;
  #close: number;

  constructor(text: string) {
    this.#text = text;
    this.#open = text.indexOf('"');
    this.#close = this.#endOf(this.#open);
  }

  covers(at: number): boolean {
    while (this.#open !== -1 && this.#close < at) {
      this.#open = this.#text.indexOf('"', this.#close + 1);
      this.#close = this.#endOf(this.#open);
    }
    return this.#open !== -1 && this.#open < at;
  }

  #endOf(open: number): number {
    if (open === -1) return -1;
    let close = open;
    do close = this.#text.indexOf('"', close + 1);
    while (close !== -1 && this.#isEscaped(close));
    return close === -1 ? this.#text.length : close;
  }

  #isEscaped(at: number): boolean {
    let from = at;
    while (this.#text[from - 1] === '\\') from--;
    return (at - from) % 2 === 1;
  }
}
