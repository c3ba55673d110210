/**
 * Recognises expressions in DDL that certainly read no other table and call no user-defined
 * function: names, literals, operators and a few functions. Anything else counts as not known.
 */

import type { Reader, Token } from './scan.ts';

const OPERATORS: ReadonlySet<string> = new Set('=<>!+-*/%|,');
/** Words that a parenthesis may follow without being a call. */
const KEYWORDS: ReadonlySet<string> = new Set([
  ...['and', 'or', 'not', 'in', 'is', 'between', 'like', 'glob', 'escape', 'collate', 'null'],
  ...['case', 'when', 'then', 'else', 'end', 'check', 'default', 'where', 'using'],
]);
const FUNCTIONS: ReadonlySet<string> = new Set([
  ...[
    'abs',
    'coalesce',
    'date',
    'datetime',
    'gen_random_uuid',
    'ifnull',
    'json_type',
    'json_valid',
  ],
  ...['julianday', 'length', 'lower', 'ltrim', 'max', 'min', 'now', 'nullif', 'round', 'rtrim'],
  ...['strftime', 'substr', 'time', 'trim', 'typeof', 'unixepoch', 'upper'],
]);
/** Words with which an expression reads or does something else. */
const READING_WORDS: ReadonlySet<string> = new Set([
  ...['select', 'with', 'values', 'table', 'from', 'exists', 'any', 'all', 'some', 'cast', 'over'],
  ...['raise', 'match', 'regexp', 'filter', 'array', 'row', 'similar', 'operator'],
]);

/** Skips an expression in parentheses. @returns whether there is one, and it is known */
export function skipExpression(reader: Reader): boolean {
  return skipParentheses(reader, isKnown);
}

/**
 * Skips the rest of a statement.
 * @returns whether it only compares, and so fails for no row; `undefined` if it is not known
 */
export function skipCondition(reader: Reader): { isComparison: boolean } | undefined {
  let isComparison = true;
  let before: Token | undefined;
  if (reader.isAtEnd) return undefined;
  while (!reader.isAtEnd) {
    const token = reader.take();
    if (token === undefined || !isKnown(token, before, reader.next)) return undefined;
    isComparison &&= isComparing(token, reader.next);
    before = token;
  }
  return { isComparison };
}

/** `whole`: an integer in every engine. `moment`: the time at which a row is made. */
export type Literal = 'whole' | 'number' | 'text' | 'boolean' | 'moment';

/** Skips the value of a DEFAULT. @returns `undefined` if it is not known */
export function skipDefault(reader: Reader): Literal | 'null' | 'computed' | undefined {
  if (reader.skip('null')) return 'null';
  if (reader.skipAnyOf(BOOLEANS) !== undefined) return 'boolean';
  if (reader.skipAnyOf(MOMENTS) !== undefined) return 'moment';
  if (reader.next?.text === '(') return skipExpression(reader) ? 'computed' : undefined;
  if (reader.skipAnyOf(FUNCTIONS) !== undefined) {
    return reader.skip('(', ')') || skipExpression(reader) ? 'computed' : undefined;
  }
  if (!reader.skip('-')) reader.skip('+');
  return skipLiteral(reader);
}

const BOOLEANS: ReadonlySet<string> = new Set(['true', 'false']);
const MOMENTS: ReadonlySet<string> = new Set([
  ...['current_timestamp', 'current_date', 'current_time'],
]);
/** Engines may store a longer number as a floating-point number. */
const WHOLE_NUMBER = /^\d{1,18}$/;

/** Skips a text, or a number with its fraction. */
function skipLiteral(reader: Reader): Literal | undefined {
  const { next } = reader;
  if (next?.isQuoted) {
    reader.at++;
    return 'text';
  }
  if (next === undefined || !isNumber(next)) return undefined;
  reader.at++;
  if (!reader.skip('.')) return WHOLE_NUMBER.test(next.text) ? 'whole' : 'number';
  if (!isNumber(reader.next)) return undefined;
  reader.at++;
  return 'number';
}

export function isNumber(token: Token | undefined): boolean {
  return token !== undefined && !token.isQuoted && /^\d/.test(token.text);
}

/** Whether a token is allowed between those before and after it. */
type IsFine = (token: Token, before: Token | undefined, after: Token | undefined) => boolean;

function skipParentheses(reader: Reader, isFine: IsFine): boolean {
  const depth = reader.next?.depth ?? 0;
  if (!reader.skip('(')) return false;
  let before: Token | undefined;
  while (!reader.isAtEnd) {
    const token = reader.take();
    if (token?.isSign && token.text === ')' && token.depth === depth + 1) {
      return before !== undefined;
    }
    if (token === undefined || !isFine(token, before, reader.next)) return false;
    before = token;
  }
  return false;
}

function isKnown(token: Token, before: Token | undefined, after: Token | undefined): boolean {
  const { text, isQuoted, isSign } = token;
  if (isQuoted) return true;
  // Without a parenthesis the name of a table may follow.
  if (text === 'in') return after?.isSign === true && after.text === '(';
  if (!isSign) return !READING_WORDS.has(text);
  if (text === '(') return before === undefined || isBeforeParenthesis(before);
  if (text === '.') return isNumber(before) && isNumber(after);
  return text === ')' || OPERATORS.has(text);
}

function isBeforeParenthesis({ text, isQuoted, isSign }: Token): boolean {
  if (isQuoted) return false;
  return isSign ? text !== ')' : KEYWORDS.has(text) || FUNCTIONS.has(text);
}

/**
 * Other tokens may fail for some rows: `LIKE` because of its pattern, a function because of its
 * argument.
 */
function isComparing({ text, isQuoted, isSign }: Token, after: Token | undefined): boolean {
  if (isQuoted) return true;
  if (isSign) return text === '!' ? after?.text === '=' : COMPARING_SIGNS.has(text);
  if (COMPARING_WORDS.has(text)) return true;
  if (KEYWORDS.has(text) || text.startsWith('current_')) return false;
  // A parenthesis after any other word is a call.
  return !(after?.isSign && after.text === '(');
}

const COMPARING_SIGNS: ReadonlySet<string> = new Set('=<>(),.');
const COMPARING_WORDS: ReadonlySet<string> = new Set([
  ...['and', 'or', 'not', 'in', 'is', 'between', 'null'],
]);
