/**
 * Finds the tables that a DDL text may read or change when a device carries it out. The type and
 * names of its migration need not be what it does. It is no parser of a dialect: every name in the
 * text counts, except in the column list of a plain CREATE TABLE. If SQL engines disagree on what
 * is a text, a name or a comment, any table may be meant.
 */

import { isWord, Reader, Scan, type Token } from './ddl-scan.ts';

/** The names in a DDL text. */
export interface DdlNames {
  /** In lower case, without schemas. Some are not tables. */
  names: ReadonlySet<string>;
  /** Whether engines may read the text differently, so that there may be other names. */
  isObscure: boolean;
}

export function tablesInDdl(ddl: string): DdlNames {
  const { statements, isObscure } = new Scan(ddl);
  const names = new Set<string>();
  for (const statement of statements) {
    for (const { text, isSign } of withoutColumns(statement)) {
      if (!isSign) names.add(text);
    }
  }
  return { names, isObscure };
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
