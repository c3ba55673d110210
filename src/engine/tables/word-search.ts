/**
 * Finds a word in texts that others have written, in one pass over each, whatever is in them (Knuth,
 * Morris and Pratt): `indexOf` takes as long as text times word for some of them.
 */

const OF_A_WORD = /[\p{L}\p{N}_$]/u;

/** What is known of each UTF-16 unit: at each match two are looked at, and texts may be all matches. */
const KNOWN = new Uint8Array(0x10000);
const UNKNOWN = 0;
const OF_NONE = 1;
const OF_ONE = 2;

/** Whether a UTF-16 unit belongs to a word. */
function isOfWord(unit: number): boolean {
  if (Number.isNaN(unit)) return false;
  if (KNOWN[unit] === UNKNOWN) {
    KNOWN[unit] = OF_A_WORD.test(String.fromCharCode(unit)) ? OF_ONE : OF_NONE;
  }
  return KNOWN[unit] === OF_ONE;
}

export class WordSearch {
  readonly #word: string;
  /** For each of its units: how many at its beginning are also the last ones up to there. */
  readonly #borders: Uint32Array;

  /** @param word any text; its case does not count */
  constructor(word: string) {
    const units = word.toLowerCase();
    const borders = new Uint32Array(units.length);
    for (let at = 1, length = 0; at < units.length; at++) {
      while (length > 0 && units.charCodeAt(at) !== units.charCodeAt(length)) {
        length = borders[length - 1] ?? 0;
      }
      if (units.charCodeAt(at) === units.charCodeAt(length)) length++;
      borders[at] = length;
    }
    this.#word = units;
    this.#borders = borders;
  }

  /** Whether a text contains it as a whole word. */
  isIn(text: string): boolean {
    const word = this.#word;
    const borders = this.#borders;
    const where = text.toLowerCase();
    if (word === '') return false;
    for (let at = 0, length = 0; at < where.length; at++) {
      const unit = where.charCodeAt(at);
      while (length > 0 && unit !== word.charCodeAt(length)) length = borders[length - 1] ?? 0;
      if (unit === word.charCodeAt(length)) length++;
      if (length < word.length) continue;
      if (!isOfWord(where.charCodeAt(at + 1)) && !isOfWord(where.charCodeAt(at - length))) {
        return true;
      }
      length = borders[length - 1] ?? 0;
    }
    return false;
  }
}
