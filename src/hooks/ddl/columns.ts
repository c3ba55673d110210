/**
 * Reads columns and constraints in DDL, as far as it is certain what they do: types that are not
 * tables, literal or harmless values, keys, checks and foreign keys. Anything else counts as not
 * known.
 */

import { isNumber, skipDefault, skipExpression } from './expressions.ts';
import type { DdlTable, Reader } from './scan.ts';
import { fitsType, TYPE_WORDS } from './types.ts';

/** Words that are column names only in quotes. */
const NO_COLUMNS: ReadonlySet<string> = new Set([
  ...['like', 'constraint', 'check', 'unique', 'primary', 'foreign', 'exclude', 'references'],
]);

/** What columns and constraints do. */
export interface Parts {
  /** The tables that foreign keys refer to. */
  references: DdlTable[];
  /** Whether it may refuse rows that would have been accepted without it. */
  isRefusing: boolean;
}

/** Skips a column's definition. @returns `undefined` if it is not known */
export function skipColumn(reader: Reader): Parts | undefined {
  if (reader.skipAnyOf(NO_COLUMNS) !== undefined || reader.skipPart() === undefined)
    return undefined;
  const type = skipType(reader);
  if (type === undefined) return undefined;
  const parts: Parts = { references: [], isRefusing: false };
  let isRequired = false;
  let hasDefault = false;
  while (!isAtItemEnd(reader)) {
    if (reader.skip('constraint') && reader.skipPart() === undefined) return undefined;
    if (reader.skip('not', 'null')) isRequired = true;
    else if (reader.skip('null')) continue;
    else if (reader.skip('collate')) {
      if (reader.skipPart() === undefined) return undefined;
    } else if (reader.skip('default')) {
      const value = skipDefault(reader);
      if (value === undefined) return undefined;
      hasDefault = value !== 'null';
      if (value !== 'null') parts.isRefusing ||= value === 'computed' || !fitsType(value, type);
    } else if (skipColumnConstraint(reader, parts)) parts.isRefusing = true;
    else return undefined;
  }
  parts.isRefusing ||= isRequired && !hasDefault;
  return parts;
}

/** @returns the words of a type; `undefined` if it is not known to be one */
export function skipType(reader: Reader): string[] | undefined {
  const words: string[] = [];
  for (let word = reader.skipAnyOf(TYPE_WORDS); word; word = reader.skipAnyOf(TYPE_WORDS)) {
    words.push(word);
    if (!reader.skip('(')) continue;
    do {
      if (!isNumber(reader.next)) return undefined;
      reader.at++;
    } while (reader.skip(','));
    if (!reader.skip(')')) return undefined;
  }
  return words;
}

function skipColumnConstraint(reader: Reader, { references }: Parts): boolean {
  if (reader.skip('primary', 'key')) {
    if (!reader.skip('asc')) reader.skip('desc');
    reader.skip('autoincrement');
    return true;
  }
  if (reader.skip('unique')) return true;
  if (reader.skip('check')) return skipExpression(reader);
  return skipReference(reader, references);
}

/** Skips a table constraint. @returns `undefined` if it is not known */
export function skipTableConstraint(reader: Reader): Parts | undefined {
  if (reader.skip('constraint') && reader.skipPart() === undefined) return undefined;
  const parts: Parts = { references: [], isRefusing: true };
  if (reader.skip('check')) return skipExpression(reader) ? parts : undefined;
  if (reader.skip('unique') || reader.skip('primary', 'key')) {
    return skipIndexed(reader) ? parts : undefined;
  }
  if (!reader.skip('foreign', 'key') || !skipNames(reader)) return undefined;
  return skipReference(reader, parts.references) ? parts : undefined;
}

export function startsTableConstraint({ next }: Reader): boolean {
  return next !== undefined && !next.isQuoted && NO_COLUMNS.has(next.text) && next.text !== 'like';
}

function skipReference(reader: Reader, references: DdlTable[]): boolean {
  if (!reader.skip('references')) return false;
  const table = reader.skipName();
  if (table === undefined) return false;
  references.push(table);
  if (reader.next?.text === '(' && !skipNames(reader)) return false;
  while (skipReferenceOption(reader));
  return true;
}

function skipReferenceOption(reader: Reader): boolean {
  if (reader.skip('on', 'delete') || reader.skip('on', 'update')) {
    return REFERENTIAL_ACTIONS.some((words) => reader.skip(...words));
  }
  return DEFERRING.some((words) => reader.skip(...words));
}

const REFERENTIAL_ACTIONS = [
  ...[['cascade'], ['restrict'], ['no', 'action'], ['set', 'null'], ['set', 'default']],
] as const;
const DEFERRING = [
  ...[['not', 'deferrable'], ['deferrable'], ['initially', 'deferred'], ['initially', 'immediate']],
] as const;

/** Skips a list of names. */
function skipNames(reader: Reader): boolean {
  return skipList(reader, () => reader.skipPart() !== undefined);
}

/** Skips a list of columns of an index, each with its order. */
export function skipIndexed(reader: Reader): boolean {
  return skipList(reader, () => {
    if (reader.skipPart() === undefined) return false;
    if (reader.skip('collate') && reader.skipPart() === undefined) return false;
    if (!reader.skip('asc')) reader.skip('desc');
    if (reader.skip('nulls') && !reader.skip('first') && !reader.skip('last')) return false;
    return true;
  });
}

export function skipList(reader: Reader, skipItem: () => boolean): boolean {
  if (!reader.skip('(')) return false;
  do if (!skipItem()) return false;
  while (reader.skip(','));
  return reader.skip(')');
}

function isAtItemEnd({ next }: Reader): boolean {
  return next === undefined || (next.isSign && (next.text === ',' || next.text === ')'));
}
