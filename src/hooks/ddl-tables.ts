/**
 * Which tables a DDL text may read or change when a device carries it out: what it is said to be, by
 * its type and names, need not be what it does. No parser of any dialect: any name in it counts,
 * wherever it stands, but for columns of a plain CREATE TABLE, and for what these reference. Where
 * engines disagree on what is a text, a name or a comment, any table may be meant.
 */

import { isWord, Reader, Scan, type Token } from './ddl-scan.ts';

/** What a DDL text is about. */
export interface DdlNames {
  /** In lower case, without their schemas; what is no table among them. */
  names: ReadonlySet<string>;
  /** It can be read in more than one way, so that there may be others. */
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
