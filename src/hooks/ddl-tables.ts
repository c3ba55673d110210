/**
 * Which tables a DDL text may read or change when a device carries it out: what it is said to be, by
 * its type and names, need not be what it does. No parser of any dialect: it errs towards naming too
 * much. Columns in the body of a CREATE TABLE are not taken for tables, nor is what a foreign key
 * references.
 */

interface Token {
  /** Lower case; a quoted name without its quotes. */
  text: string;
  isQuoted: boolean;
  /** How many parentheses it stands in. */
  depth: number;
}

const QUOTES: Readonly<Record<string, string>> = { '"': '"', '`': '`', "'": "'", '[': ']' };
/** A statement with one of these may name tables within parentheses as well. */
const QUERY_WORDS: ReadonlySet<string> = new Set(['select', 'insert', 'from', 'into', 'join']);
/** What follows is a column. */
const COLUMN_WORDS: ReadonlySet<string> = new Set(['column', 'add']);

/** Names in a DDL text that may be of tables, in lower case, without their schemas. */
export function tablesInDdl(ddl: string): ReadonlySet<string> {
  const names = new Set<string>();
  for (const statement of statementsOf(ddl)) {
    const isQuery = statement.some(({ text, isQuoted }) => !isQuoted && QUERY_WORDS.has(text));
    for (const [i, { text, depth }] of statement.entries()) {
      if ((depth === 0 || isQuery) && isOfTable(statement, i)) names.add(text);
    }
  }
  return names;
}

/** Whether it renames a table, whatever else it does. */
export function isRenaming(ddl: string): boolean {
  return statementsOf(ddl).some((statement) =>
    statement.some((_, i) => isWord(statement, i, 'rename') && isWord(statement, i + 1, 'to')),
  );
}

function isWord(statement: readonly Token[], i: number, word: string): boolean {
  const token = statement[i];
  return token !== undefined && !token.isQuoted && token.text === word;
}

function isOfTable(statement: readonly Token[], at: number): boolean {
  // A schema before it is of the same name.
  const before = isWord(statement, at - 1, '.') ? at - 3 : at - 1;
  const previous = statement[before];
  if (previous === undefined || previous.isQuoted) return true;
  if (previous.text === 'references') return false;
  if (previous.text === 'to') return !isWord(statement, before - 2, 'column');
  return !COLUMN_WORDS.has(previous.text);
}

function statementsOf(ddl: string): Token[][] {
  const statements: Token[][] = [[]];
  for (const token of tokensOf(ddl)) {
    if (token.text === ';' && !token.isQuoted) statements.push([]);
    else statements.at(-1)?.push(token);
  }
  return statements;
}

/** In one pass over the text. */
function* tokensOf(ddl: string): Generator<Token> {
  let depth = 0;
  for (let at = 0; at < ddl.length; ) {
    const char = ddl.charAt(at);
    if (ddl.startsWith('--', at)) at = endOf(ddl, '\n', at);
    else if (ddl.startsWith('/*', at)) at = endOf(ddl, '*/', at + 2);
    else if (QUOTES[char] !== undefined) {
      const { text, end } = quotedAt(ddl, at + 1, QUOTES[char]);
      yield { text: text.toLowerCase(), isQuoted: true, depth };
      at = end;
    } else if (isNameChar(char)) {
      let end = at + 1;
      while (end < ddl.length && isNameChar(ddl.charAt(end))) end++;
      yield { text: ddl.slice(at, end).toLowerCase(), isQuoted: false, depth };
      at = end;
    } else {
      if (char === '(') depth++;
      else if (char === ')') depth = Math.max(0, depth - 1);
      else if (char === '.' || char === ';') yield { text: char, isQuoted: false, depth };
      at++;
    }
  }
}

function endOf(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from);
  return at < 0 ? text.length : at + mark.length;
}

/** A quote that is doubled stands for itself. */
function quotedAt(ddl: string, from: number, quote: string): { text: string; end: number } {
  let text = '';
  for (let at = from; ; ) {
    const found = ddl.indexOf(quote, at);
    if (found < 0) return { text: text + ddl.slice(at), end: ddl.length };
    text += ddl.slice(at, found);
    if (ddl.charAt(found + 1) !== quote) return { text, end: found + 1 };
    text += quote;
    at = found + 2;
  }
}

/** Whatever is no white space, quote or sign of ASCII: names may be in any script. */
function isNameChar(char: string): boolean {
  return /[A-Za-z0-9_$\u0080-\uffff]/.test(char);
}
