/**
 * Finds the tables that a DDL text may read or change when a device carries it out. The type and
 * names of its migration need not be what it does. It is no parser of a dialect: every name in the
 * text counts, except in the column list of a plain CREATE TABLE. If SQL engines disagree on what
 * is a text, a name or a comment, or the text is too long to be read, any table may be meant.
 */

import { DDL_CHARS_MAX, isWord, Reader, Scan, type Token } from './scan.ts';

/** The names in a DDL text. */
export interface DdlNames {
  /** In lower case, without schemas. Some are not tables. */
  names: ReadonlySet<string>;
  /** Whether engines may read the text differently, so that there may be other names. */
  isObscure: boolean;
  /** Whether it is too long to be read: it may have any name, and `isObscure` is set as well. */
  isTooLong: boolean;
}

/** The names of the texts that were asked for last: a stored text is asked for at each read. */
const knownByText = new Map<string, DdlNames>();
const KNOWN_CHARS_MAX = 1024 * 1024;
let knownChars = 0;

export function tablesInDdl(ddl: string): DdlNames {
  if (ddl.length > DDL_CHARS_MAX) return TOO_LONG;
  const names = knownByText.get(ddl) ?? readNames(ddl);
  // The last one asked for is the last one to be forgotten.
  if (!knownByText.delete(ddl)) knownChars += ddl.length;
  knownByText.set(ddl, names);
  for (const text of knownByText.keys()) {
    if (knownChars <= KNOWN_CHARS_MAX) break;
    knownByText.delete(text);
    knownChars -= text.length;
  }
  return names;
}

const TOO_LONG: DdlNames = { names: new Set(), isObscure: true, isTooLong: true };

function readNames(ddl: string): DdlNames {
  const { statements, isObscure, isTooLong } = new Scan(ddl);
  if (isTooLong) return TOO_LONG;
  const names = new Set<string>();
  for (const statement of statements) {
    for (const { text, isSign } of withoutColumns(statement)) {
      if (!isSign) names.add(text);
    }
  }
  return { names, isObscure, isTooLong };
}

/** All tokens except those directly in the column list of a plain CREATE TABLE. */
function withoutColumns(statement: readonly Token[]): readonly Token[] {
  const open = columnsStart(statement);
  if (open < 0) return statement;
  const close = statement.findIndex(
    ({ text, depth }, i) => i > open && text === ')' && depth === 1,
  );
  const isInList = (i: number) => i > open && (close < 0 || i < close);
  const isDirect = ({ depth }: Token, i: number) => depth === 1 && isInList(i);
  // LIKE in the list names another table.
  const isLike = statement.some((token, i) => isDirect(token, i) && isWord(token, 'like'));
  return isLike ? statement : statement.filter((token, i) => !isDirect(token, i));
}

/** The index of the column list of a plain CREATE TABLE; -1 for any other statement. */
function columnsStart(statement: readonly Token[]): number {
  const reader = new Reader(statement);
  if (!reader.skip('create')) return -1;
  if (!reader.skip('temp')) reader.skip('temporary');
  if (!reader.skip('table')) return -1;
  reader.skip('if', 'not', 'exists');
  reader.skipName();
  return isWord(statement[reader.at], '(') ? reader.at : -1;
}
