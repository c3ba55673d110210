/**
 * The types of columns in DDL, and which literals they take in every engine. A strict table of SQLite, for one,
 * takes a default that does not fit its column, and then refuses every row.
 */

import type { Literal } from './ddl-expressions.ts';

/** They say more about a type, and take nothing away. */
const QUALIFIERS = [
  ...['big', 'national', 'native', 'precision', 'unsigned', 'varying', 'with', 'without', 'zone'],
];
const ANYTHING: readonly Literal[] = ['whole', 'number', 'text', 'boolean', 'moment'];

/** By what it takes, the words of a type. */
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

/** Whatever else follows a column's name may be a table's. */
export const TYPE_WORDS: ReadonlySet<string> = new Set(TAKEN_BY_WORD.keys());

/** Whether a column of a type takes a literal, whatever engine has it. @param type its words; none: it has no type */
export function fitsType(literal: Literal, type: readonly string[]): boolean {
  return type.every((word) => TAKEN_BY_WORD.get(word)?.includes(literal));
}
