/**
 * The words and names of a DDL text, by statement. No parser of any dialect: where engines disagree on
 * what is a text, a name or a comment, it says so.
 */

export interface Token {
  /** Lower case; a quoted name without its quotes. */
  text: string;
  isQuoted: boolean;
  /** No word and no name: a comma, a parenthesis and the like. */
  isSign: boolean;
  /** How many parentheses of its statement it stands in. */
  depth: number;
}

const QUOTES: Readonly<Record<string, string>> = { '"': '"', '`': '`', "'": "'", '[': ']' };

/** A table as a text names it, in lower case. */
export interface DdlTable {
  schema: string | undefined;
  table: string;
}

/** Goes through the tokens of a statement. */
export class Reader {
  readonly #statement: readonly Token[];
  at = 0;

  constructor(statement: readonly Token[]) {
    this.#statement = statement;
  }

  get isAtEnd(): boolean {
    return this.at >= this.#statement.length;
  }

  /** Goes past whatever comes next, and gives it. */
  take(): Token | undefined {
    return this.#statement[this.at++];
  }

  /** Goes past these words, if they are what comes next. */
  skip(...words: string[]): boolean {
    const isNext = words.every((word, i) => isWord(this.#statement[this.at + i], word));
    if (isNext) this.at += words.length;
    return isNext;
  }

  get next(): Token | undefined {
    return this.#statement[this.at];
  }

  /** Goes past the word that comes next, if it is one of these, and gives it. */
  skipAnyOf(words: ReadonlySet<string>): string | undefined {
    const { next } = this;
    if (next === undefined || next.isQuoted || !words.has(next.text)) return undefined;
    this.at++;
    return next.text;
  }

  /** Goes past a name of one part, and gives it. */
  skipPart(): string | undefined {
    const { next } = this;
    if (next === undefined || next.isSign) return undefined;
    this.at++;
    return next.text;
  }

  /** Goes past the name that comes next, with its schema. */
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

/** White space of Unicode, and what is not seen: to some engines a part of a name, to others none. */
const BETWEEN_PARTS = /[\s\u0085\u180e\u200b-\u200f\u2060\ufeff$]/;
/** Whatever is no white space, quote or sign of ASCII: names may be in any script. */
const NAME_CHAR = /[A-Za-z0-9_$\u0080-\uffff]/;
const ANY_QUOTE = /["'`]/;

/** What engines agree on that it only parts others. */
const SPACE = /[ \t\r\n\f]/;

function isName(text: string): boolean {
  return !/[^A-Za-z0-9_]/.test(text);
}

/** The tokens of a text, by statement, in one pass over it. */
export class Scan {
  readonly statements: Token[][] = [[]];
  isObscure = false;
  /** A name in it is none, or several, to some engines: it is among the tokens as a whole and in parts. */
  isOdd = false;
  readonly #ddl: string;
  #depth = 0;

  constructor(ddl: string) {
    this.#ddl = ddl;
    for (let at = 0; at < ddl.length; ) at = this.#take(at);
  }

  /** @returns where what is there ends */
  #take(at: number): number {
    const ddl = this.#ddl;
    const char = ddl.charAt(at);
    if (ddl.startsWith('--', at)) return this.#lineComment(at);
    if (ddl.startsWith('/*', at)) return this.#comment(at + 2);
    if (QUOTES[char] !== undefined) return this.#quoted(at + 1, QUOTES[char]);
    if (NAME_CHAR.test(char)) return this.#word(at);
    if (char === ';') {
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
    this.statements.at(-1)?.push(token);
  }

  #word(from: number): number {
    const ddl = this.#ddl;
    let end = from + 1;
    while (end < ddl.length && NAME_CHAR.test(ddl.charAt(end))) end++;
    const word = ddl.slice(from, end);
    this.#addWord(word);
    // A quote of dollars, or a name that is spelt with escapes.
    if (word.startsWith('$') && word.includes('$', 1)) this.isObscure = true;
    if (ddl.charAt(end) === '&' && QUOTES[ddl.charAt(end + 1)] && /u$/i.test(word)) {
      this.isObscure = true;
    }
    return end;
  }

  /** As a whole, and in parts. */
  #addWord(word: string): void {
    this.#add(word);
    if (!BETWEEN_PARTS.test(word)) return;
    this.isOdd = true;
    for (const part of word.split(BETWEEN_PARTS)) if (part !== '') this.#add(part);
  }

  /** A quote that is doubled stands for itself. */
  #quoted(from: number, quote: string): number {
    const ddl = this.#ddl;
    let text = '';
    let end = ddl.length;
    for (let at = from; ; ) {
      const found = ddl.indexOf(quote, at);
      text += ddl.slice(at, found < 0 ? ddl.length : found);
      if (found < 0) break;
      // Some engines take the quote for a part of the text then.
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

  /** To other engines these are no quotes. */
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

  /** Where a lone carriage return ends it to some engines, there are two ways to read on. */
  #lineComment(from: number): number {
    const end = endOf(this.#ddl, '\n', from);
    const text = this.#ddl.slice(from, end).replace(/\r\n$/, '');
    if (text.includes('\r')) this.isObscure = true;
    return end;
  }

  /** Some engines count how often one was begun, and some carry out what is in one that begins so. */
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
