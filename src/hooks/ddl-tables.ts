/**
 * Which tables a DDL text may read or change when a device carries it out: what it is said to be, by
 * its type and names, need not be what it does. No parser of any dialect: any name in it counts,
 * wherever it stands, but for columns of a plain CREATE TABLE, and for what these reference. Where
 * engines disagree on what is a text, a name or a comment, any table may be meant.
 */

interface Token {
  /** Lower case; a quoted name without its quotes. */
  text: string;
  isQuoted: boolean;
  /** How many parentheses of its statement it stands in. */
  depth: number;
}

/** What a DDL text is about. */
export interface DdlNames {
  /** In lower case, without their schemas; what is no table among them. */
  names: ReadonlySet<string>;
  /** It can be read in more than one way, so that there may be others. */
  isObscure: boolean;
}

const QUOTES: Readonly<Record<string, string>> = { '"': '"', '`': '`', "'": "'", '[': ']' };

export function tablesInDdl(ddl: string): DdlNames {
  const { statements, isObscure } = new Scan(ddl);
  const names = new Set<string>();
  for (const statement of statements) {
    for (const { text } of withoutColumns(statement)) names.add(text);
  }
  return { names, isObscure };
}

/** All but what stands directly in the column list of a plain CREATE TABLE. */
function withoutColumns(statement: readonly Token[]): readonly Token[] {
  const open = columnsStart(statement);
  if (open < 0) return statement;
  const close = statement.findIndex(
    ({ text, depth }, i) => i > open && text === ')' && depth === 1,
  );
  const isInList = (i: number) => i > open && (close < 0 || i < close);
  const isDirect = ({ depth }: Token, i: number) => depth === 1 && isInList(i);
  // It takes the columns of another table, not their names only.
  const isLike = statement.some((token, i) => isDirect(token, i) && isWord(token, 'like'));
  return isLike ? statement : statement.filter((token, i) => !isDirect(token, i));
}

/** Where the list of a plain CREATE TABLE begins; -1 for any other statement. */
function columnsStart(statement: readonly Token[]): number {
  const reader = new Reader(statement);
  if (!reader.skip('create')) return -1;
  if (!reader.skip('temp')) reader.skip('temporary');
  if (!reader.skip('table')) return -1;
  reader.skip('if', 'not', 'exists');
  reader.skipName();
  return isWord(statement[reader.at], '(') ? reader.at : -1;
}

/** Goes through the tokens of a statement. */
class Reader {
  readonly #statement: readonly Token[];
  at = 0;

  constructor(statement: readonly Token[]) {
    this.#statement = statement;
  }

  get isAtEnd(): boolean {
    return this.at >= this.#statement.length;
  }

  /** Goes past these words, if they are what comes next. */
  skip(...words: string[]): boolean {
    const isNext = words.every((word, i) => isWord(this.#statement[this.at + i], word));
    if (isNext) this.at += words.length;
    return isNext;
  }

  /** @returns the name that comes next, without its schema */
  skipName(): string | undefined {
    this.at++;
    if (this.skip('.')) this.at++;
    return this.#statement[this.at - 1]?.text;
  }
}

function isWord(token: Token | undefined, word: string): boolean {
  return token !== undefined && !token.isQuoted && token.text === word;
}

/** White space of Unicode, and what is not seen: to some engines a part of a name, to others none. */
const BETWEEN_PARTS = /[\s\u0085\u180e\u200b-\u200f\u2060\ufeff$]/;
/** Whatever is no white space, quote or sign of ASCII: names may be in any script. */
const NAME_CHAR = /[A-Za-z0-9_$\u0080-\uffff]/;
const ANY_QUOTE = /["'`]/;

function isName(text: string): boolean {
  return !/[^A-Za-z0-9_]/.test(text);
}

/** The tokens of a text, by statement, in one pass over it. */
class Scan {
  readonly statements: Token[][] = [[]];
  isObscure = false;
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
    } else if (char === '(') {
      this.#add(char);
      this.#depth++;
    } else if (char === ')') {
      this.#add(char);
      this.#depth = Math.max(0, this.#depth - 1);
    } else if (char === '.') this.#add(char);
    return at + 1;
  }

  #add(text: string, isQuoted = false): void {
    this.statements.at(-1)?.push({ text: text.toLowerCase(), isQuoted, depth: this.#depth });
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

  /** Some engines count how often one was begun. */
  #comment(from: number): number {
    const end = endOf(this.#ddl, '*/', from);
    if (this.#ddl.slice(from, end).includes('/*')) this.isObscure = true;
    return end;
  }
}

function endOf(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from);
  return at < 0 ? text.length : at + mark.length;
}

/** Whether a text does nothing but to call a table by another name. */
export function isRenameOf(ddl: string, from: string, to: string): boolean {
  const { statements, isObscure } = new Scan(ddl);
  const [statement, ...others] = statements.filter(({ length }) => length > 0);
  if (isObscure || statement === undefined || others.length > 0) return false;
  const reader = new Reader(statement);
  if (!reader.skip('alter', 'table')) return false;
  reader.skip('if', 'exists');
  reader.skip('only');
  if (reader.skipName() !== from.toLowerCase() || !reader.skip('rename', 'to')) return false;
  return reader.skipName() === to.toLowerCase() && reader.isAtEnd;
}

const TRANSACTION_WORDS: ReadonlySet<string> = new Set(['begin', 'commit', 'end', 'comment']);
/** Where one of them stands, rows or columns may come from elsewhere. */
const MOVING_WORDS: ReadonlySet<string> = new Set([
  ...['select', 'insert', 'into', 'values', 'merge', 'rename', 'attach', 'inherit', 'inherits'],
]);
/** Of foreign keys, when they follow `on`. */
const REFERENTIAL_WORDS: ReadonlySet<string> = new Set(['update', 'delete']);

/** Whether a text makes, changes or drops tables and indexes, and moves or renames nothing that is in them. */
export function isPlainDdl(ddl: string): boolean {
  const { statements, isObscure } = new Scan(ddl);
  return !isObscure && statements.every(isPlain);
}

function isPlain(statement: readonly Token[]): boolean {
  const [first] = statement;
  if (first === undefined) return true;
  if (first.isQuoted) return false;
  if (TRANSACTION_WORDS.has(first.text)) return true;
  const reader = new Reader(statement);
  if (reader.skip('create')) {
    for (const word of ['temp', 'temporary', 'unlogged', 'virtual', 'unique']) reader.skip(word);
  } else if (!reader.skip('alter') && !reader.skip('drop')) return false;
  if (!reader.skip('table') && !reader.skip('index')) return false;
  const bare = withoutColumns(statement);
  const tables = bare.filter((token) => isWord(token, 'table')).length;
  return tables <= 1 && !bare.some((token, i) => isMoving(token, bare[i - 1]));
}

function isMoving({ text, isQuoted }: Token, before: Token | undefined): boolean {
  if (isQuoted) return false;
  return MOVING_WORDS.has(text) || (REFERENTIAL_WORDS.has(text) && !isWord(before, 'on'));
}
