/**
 * Finds a word in texts that others have written, in one pass over each, whatever is in them (Knuth,
 * Morris and Pratt): `indexOf` takes as long as text times word for some of them.
 */

const OF_A_WORD = /[\p{L}\p{N}_$]/u;

/** Whether a UTF-16 unit belongs to a word. Nearly all are ASCII. */
function isOfWord(unit: number): boolean {
  if (Number.isNaN(unit)) return false;
  if (unit >= 128) return OF_A_WORD.test(String.fromCharCode(unit));
  const isDigit = unit >= 48 && unit <= 57;
  const isLetter = (unit >= 65 && unit <= 90) || (unit >= 97 && unit <= 122);
  return isDigit || isLetter || unit === 95 || unit === 36;
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
