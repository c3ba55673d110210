/**
 * Splits a DDL text into words and names, by statement. It is no parser of a dialect: if SQL
 * engines disagree on what is a text, a name or a comment, it reports that (`isObscure`, `isOdd`).
 * It also does so, and reads nothing, if the text is too long.
 */

export interface Token {
  /** Lower case; a quoted name without its quotes. */
  text: string;
  isQuoted: boolean;
  /** Whether it is neither word nor name, but a comma, a parenthesis or the like. */
  isSign: boolean;
  /** The number of parentheses around it. */
  depth: number;
}

const QUOTES: Readonly<Record<string, string>> = { '"': '"', '`': '`', "'": "'", '[': ']' };

/** A table as a text names it, in lower case. */
export interface DdlTable {
  schema: string | undefined;
  table: string;
}

/** Reads the tokens of a statement in order. */
export class Reader {
  readonly #statement: readonly Token[];
  at = 0;

  constructor(statement: readonly Token[]) {
    this.#statement = statement;
  }

  get isAtEnd(): boolean {
    return this.at >= this.#statement.length;
  }

  /** Takes the next token. */
  take(): Token | undefined {
    return this.#statement[this.at++];
  }

  /** Skips these words, if they come next. @returns whether they did */
  skip(...words: string[]): boolean {
    const isNext = words.every((word, i) => isWord(this.#statement[this.at + i], word));
    if (isNext) this.at += words.length;
    return isNext;
  }

  get next(): Token | undefined {
    return this.#statement[this.at];
  }

  /** Skips the next word, if it is one of these. @returns the word */
  skipAnyOf(words: ReadonlySet<string>): string | undefined {
    const { next } = this;
    if (next === undefined || next.isQuoted || !words.has(next.text)) return undefined;
    this.at++;
    return next.text;
  }

  /** Skips a name of one part. @returns the name */
  skipPart(): string | undefined {
    const { next } = this;
    if (next === undefined || next.isSign) return undefined;
    this.at++;
    return next.text;
  }

  /** Skips a name with or without a schema. @returns both */
  skipName(): DdlTable | undefined {
    const first = this.skipPart();
    if (first === undefined) return undefined;
    if (!this.skip('.')) return { schema: undefined, table: first };
    const second = this.skipPart();
    return second === undefined ? undefined : { schema: first, table: second };
  }
}

export function isWord(token: Token | undefined, word: string): boolean {
  return token !== undefined && !token.isQuoted && token.text === word;
}

/**
 * Unicode white space and invisible characters, which are part of a name in some engines and not in
 * others.
 */
const BETWEEN_PARTS = /[\s\u0085\u180e\u200b-\u200f\u2060\ufeff$]/;
/** All characters but white space, quotes and signs of ASCII: names may be in any script. */
const NAME_CHAR = /[A-Za-z0-9_$\u0080-\uffff]/;
const ANY_QUOTE = /["'`]/;

/** White space in all engines. */
const SPACE = /[ \t\r\n\f]/;

function isName(text: string): boolean {
  return !/[^A-Za-z0-9_]/.test(text);
}

/**
 * A longer text is not read, so that reading one never holds up other clients. A table with the most
 * columns that SQLite allows by default (2,000) takes about 60,000.
 */
export const DDL_CHARS_MAX = 256 * 1024;
/** The same for words, names and signs; such a table has about 12,000. */
const WORDS_MAX = 50_000;

/** The tokens of a text, by statement, in one pass over it. */
export class Scan {
  statements: Token[][] = [[]];
  /** Whether it is too long to be read, and so obscure. */
  isTooLong = false;
  isObscure = false;
  /**
   * Some engines read one of its names as several, or as none: the tokens have it as a whole and in
   * parts.
   */
  isOdd = false;
  readonly #ddl: string;
  #depth = 0;
  #words = 0;

  constructor(ddl: string) {
    this.#ddl = ddl;
    this.isTooLong = ddl.length > DDL_CHARS_MAX;
    for (let at = 0; at < ddl.length && !this.isTooLong; ) at = this.#take(at);
    if (!this.isTooLong) return;
    this.isObscure = true;
    this.statements = [];
  }

  /** Reads the token at an index. @returns the index after it */
  #take(at: number): number {
    const ddl = this.#ddl;
    const char = ddl.charAt(at);
    if (ddl.startsWith('--', at)) return this.#lineComment(at);
    if (ddl.startsWith('/*', at)) return this.#comment(at + 2);
    if (QUOTES[char] !== undefined) return this.#quoted(at + 1, QUOTES[char]);
    if (NAME_CHAR.test(char)) return this.#word(at);
    if (char === ';') {
      if (++this.#words > WORDS_MAX) this.isTooLong = true;
      this.statements.push([]);
      this.#depth = 0;
    } else if (!SPACE.test(char)) this.#sign(char);
    return at + 1;
  }

  #sign(char: string): void {
    this.#push({ text: char, isQuoted: false, isSign: true, depth: this.#depth });
    if (char === '(') this.#depth++;
    if (char === ')') this.#depth = Math.max(0, this.#depth - 1);
  }

  #add(text: string, isQuoted = false): void {
    this.#push({ text: text.toLowerCase(), isQuoted, isSign: false, depth: this.#depth });
  }

  #push(token: Token): void {
    if (++this.#words > WORDS_MAX) this.isTooLong = true;
    this.statements.at(-1)?.push(token);
  }

  #word(from: number): number {
    const ddl = this.#ddl;
    let end = from + 1;
    while (end < ddl.length && NAME_CHAR.test(ddl.charAt(end))) end++;
    const word = ddl.slice(from, end);
    this.#addWord(word);
    // A dollar-quoted text, or a name with Unicode escapes.
    if (word.startsWith('$') && word.includes('$', 1)) this.isObscure = true;
    if (ddl.charAt(end) === '&' && QUOTES[ddl.charAt(end + 1)] && /u$/i.test(word)) {
      this.isObscure = true;
    }
    return end;
  }

  /** Adds a word as a whole and, if engines may split it, in parts. */
  #addWord(word: string): void {
    this.#add(word);
    if (!BETWEEN_PARTS.test(word)) return;
    this.isOdd = true;
    for (const part of word.split(BETWEEN_PARTS)) if (part !== '') this.#add(part);
  }

  /** Reads a quoted text. A doubled quote stands for one. */
  #quoted(from: number, quote: string): number {
    const ddl = this.#ddl;
    let text = '';
    let end = ddl.length;
    for (let at = from; ; ) {
      const found = ddl.indexOf(quote, at);
      text += ddl.slice(at, found < 0 ? ddl.length : found);
      if (found < 0) break;
      // For some engines a backslash makes the quote part of the text.
      if (ddl.charAt(found - 1) === '\\') this.isObscure = true;
      end = found + 1;
      if (ddl.charAt(end) !== quote) break;
      text += quote;
      at = end + 1;
      end = ddl.length;
    }
    this.#add(text, true);
    if ((quote === ']' || quote === '`') && !isName(text)) this.#quotedBySome(text);
    return end;
  }

  /** Reads text in brackets or backticks, which are not quotes in some engines. */
  #quotedBySome(text: string): void {
    this.isOdd = true;
    if (ANY_QUOTE.test(text) || text.includes('--') || text.includes('/*')) this.isObscure = true;
    let word = '';
    for (const char of `${text} `) {
      if (NAME_CHAR.test(char)) word += char;
      else if (word !== '') {
        this.#addWord(word);
        word = '';
      }
    }
  }

  /** In some engines a lone carriage return ends a comment: then the text is obscure. */
  #lineComment(from: number): number {
    const end = endOf(this.#ddl, '\n', from);
    const text = this.#ddl.slice(from, end).replace(/\r\n$/, '');
    if (text.includes('\r')) this.isObscure = true;
    return end;
  }

  /**
   * Some engines nest comments, and some execute the content of one that begins with `M!` or `!`.
   */
  #comment(from: number): number {
    const end = endOf(this.#ddl, '*/', from);
    const text = this.#ddl.slice(from, end);
    if (text.includes('/*') || /^M?!/.test(text)) this.isObscure = true;
    return end;
  }
}

function endOf(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from);
  return at < 0 ? text.length : at + mark.length;
}
