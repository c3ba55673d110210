/**
 * Integers that a double can't hold. `JSON.parse` rounds them without a word, so that two keys may become one
 * row. What JavaScript writes is read as it was, however large: it is told by that, and not by its size.
 *
 * Called for every text that is parsed: a number of so many digits covers one character in sixteen, and only those are
 * looked at.
 */

/** Of the least integer that may be rounded, 2^53 + 1. */
const DIGITS = 16;
/** Such an integer has at most as many as this; what is larger is no double at all. */
const EXPONENT_MAX = 400;

/** The characters of numbers, by code: digits, `+`, `-`, `.`, `E` and `e`. */
const OF_NUMBERS = new Uint8Array(128);
for (const character of '0123456789+-.Ee') OF_NUMBERS[character.charCodeAt(0)] = 1;

function isOfNumber(text: string, at: number): boolean {
  return OF_NUMBERS[text.charCodeAt(at)] === 1;
}

/** @param text that is JSON; @returns the first integer in it that would be another one, as it is written there */
export function findRounded(text: string): string | undefined {
  let strings: StringScan | undefined;
  for (let at = DIGITS - 1; at < text.length; at += DIGITS) {
    if (!isOfNumber(text, at)) continue;
    let [from, to] = [at, at + 1];
    while (isOfNumber(text, from - 1)) from--;
    while (isOfNumber(text, to)) to++;
    at = Math.max(at, to - DIGITS);
    if (to - from < DIGITS || !mayStandAlone(text, from, to)) continue;
    const number = text.slice(from, to);
    if (!isRounded(number)) continue;
    strings ??= new StringScan(text);
    if (!strings.covers(from)) return number;
  }
  return undefined;
}

/** @param number an integer; @returns its digits alone, as a big integer is written */
export function toPlainInteger(number: string): string {
  const { digits, exponent } = toDecimal(number) ?? { digits: number, exponent: 0 };
  return `${number.startsWith('-') ? '-' : ''}${digits}${'0'.repeat(Math.min(Math.max(exponent, 0), EXPONENT_MAX))}`;
}

/** As far as its neighbours tell: within a text anything may stand there. */
function mayStandAlone(text: string, from: number, to: number): boolean {
  return ' \t\n\r:,['.includes(text[from - 1] ?? ' ') && ' \t\n\r,]}'.includes(text[to] ?? ' ');
}

/** A decimal number: its digits without zeros at either end, and the power of ten of the last one. */
interface Decimal {
  digits: string;
  exponent: number;
}

const NUMBER = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,9}))?$/;

/** @param number as JSON and JavaScript write it; @returns `undefined` for anything else */
function toDecimal(number: string): Decimal | undefined {
  const [match, whole = '', fraction = '', power = '0'] = NUMBER.exec(number) ?? [];
  if (match === undefined) return undefined;
  const all = whole + fraction;
  let [from, to] = [0, all.length];
  while (all[to - 1] === '0') to--;
  while (from < to && all[from] === '0') from++;
  return {
    digits: all.slice(from, to),
    exponent: Number(power) - fraction.length + all.length - to,
  };
}

/**
 * Whether it is an integer, however it is written (`9007199254740993.0`, `900719925474099.3e1`), and the double is
 * another one.
 */
function isRounded(number: string): boolean {
  const decimal = toDecimal(number);
  if (decimal === undefined || decimal.exponent < 0) return false;
  const value = Number(number);
  if (!Number.isFinite(value)) return !/[.eE]/.test(number);
  // What a double is written as is that double, however many integers it stands for: in as few digits as tell it from
  // others, as JavaScript does, or in 17, as C does.
  const written = [String(value), value.toPrecision(17)].map((text) => toDecimal(text)?.digits);
  if (written.includes(decimal.digits)) return false;
  if (decimal.exponent > EXPONENT_MAX) return true;
  const integer = BigInt(decimal.digits) * 10n ** BigInt(decimal.exponent);
  return BigInt(Math.abs(value)) !== integer;
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
