/**
 * The types of columns in DDL, and the literals that fit them in every SQL engine. For instance, a
 * strict table of SQLite accepts a default that does not fit its column, and then refuses every
 * row.
 */

import type { Literal } from './expressions.ts';

/** Words that qualify a type, without changing which literals fit. */
const QUALIFIERS = [
  ...['big', 'national', 'native', 'precision', 'unsigned', 'varying', 'with', 'without', 'zone'],
];
const ANYTHING: readonly Literal[] = ['whole', 'number', 'text', 'boolean', 'moment'];

/** The words of types, by the literals that fit them. */
const TYPES: readonly (readonly [takes: readonly Literal[], words: readonly string[]])[] = [
  [ANYTHING, QUALIFIERS],
  [
    ANYTHING,
    [
      ...['any', 'char', 'character', 'citext', 'clob', 'longtext', 'mediumtext', 'nchar'],
      ...['nvarchar', 'string', 'text', 'tinytext', 'varchar'],
    ],
  ],
  [
    ['whole', 'boolean'],
    [
      ...['bigint', 'bool', 'boolean', 'int', 'int2', 'int4', 'int8', 'integer', 'mediumint'],
      ...['smallint', 'tinyint'],
    ],
  ],
  [
    ['whole', 'number'],
    [
      ...['dec', 'decimal', 'double', 'float', 'float4', 'float8', 'money', 'number', 'numeric'],
      ...['real'],
    ],
  ],
  [
    ['whole', 'text', 'moment'],
    ['date', 'datetime', 'time', 'timestamp', 'timestamptz', 'timetz'],
  ],
  [['text'], ['inet', 'interval', 'json', 'jsonb', 'uuid', 'xml']],
  [
    [],
    [
      ...['bigserial', 'binary', 'bit', 'blob', 'bytea', 'long', 'longblob', 'serial'],
      ...['smallserial', 'varbinary', 'year'],
    ],
  ],
];

const TAKEN_BY_WORD: ReadonlyMap<string, readonly Literal[]> = new Map(
  TYPES.flatMap(([takes, words]) => words.map((word) => [word, takes] as const)),
);

/** Other words after a column's name may be the name of a table. */
export const TYPE_WORDS: ReadonlySet<string> = new Set(TAKEN_BY_WORD.keys());

/**
 * Whether a literal fits a type in every engine.
 * @param type its words; empty for a column without a type
 */
export function fitsType(literal: Literal, type: readonly string[]): boolean {
  return type.every((word) => TAKEN_BY_WORD.get(word)?.includes(literal));
}
