/**
 * What a DDL text does when a device carries it out, as far as that can be told: it need not be what its
 * migration says of itself.
 */

import type { MigrationType } from '../wire/schemas.ts';
import { type DdlTable, isWord, Reader, Scan, type Token } from './ddl-scan.ts';
import { withoutColumns } from './ddl-tables.ts';

/** Something that a statement does. */
export interface DdlAction {
  type: MigrationType;
  /** Of a rename both names; of an index that is dropped none. */
  tables: readonly DdlTable[];
}

/** What a text does, in its order; `undefined` where it may do something else. */
export function actionsOf(ddl: string): readonly DdlAction[] | undefined {
  const { statements, isObscure } = new Scan(ddl);
  if (isObscure) return undefined;
  const actions: DdlAction[] = [];
  for (const statement of statements) {
    if (isIdle(statement)) continue;
    const action = actionOf(statement);
    if (action === undefined) return undefined;
    actions.push(action);
  }
  return actions;
}

/** Whether a text does nothing but to call a table by another name. */
export function isRenameOf(ddl: string, from: string, to: string): boolean {
  const [action, ...others] = actionsOf(ddl) ?? [];
  if (action?.type !== 'rename_table' || others.length > 0) return false;
  return (
    action.tables[0]?.table === from.toLowerCase() && action.tables[1]?.table === to.toLowerCase()
  );
}

/** It does nothing to any table. */
function isIdle([first]: readonly Token[]): boolean {
  return first === undefined || (!first.isQuoted && TRANSACTION_WORDS.has(first.text));
}

function actionOf(statement: readonly Token[]): DdlAction | undefined {
  const rename = renameOf(statement);
  if (rename !== undefined) return rename;
  if (!isPlain(statement)) return undefined;
  const reader = new Reader(statement);
  if (reader.skip('create')) return creationOf(reader);
  if (reader.skip('drop', 'index')) return { type: 'drop_index', tables: [] };
  if (reader.skip('drop', 'table')) return dropOf(reader);
  return reader.skip('alter', 'table') ? alterationOf(reader) : undefined;
}

function renameOf(statement: readonly Token[]): DdlAction | undefined {
  const reader = new Reader(statement);
  if (!reader.skip('alter', 'table')) return undefined;
  const from = skipAltered(reader);
  if (!reader.skip('rename', 'to')) return undefined;
  const to = reader.skipName();
  if (from === undefined || to === undefined || !reader.isAtEnd) return undefined;
  return { type: 'rename_table', tables: [from, to] };
}

function skipAltered(reader: Reader): DdlTable | undefined {
  reader.skip('if', 'exists');
  reader.skip('only');
  return reader.skipName();
}

function creationOf(reader: Reader): DdlAction | undefined {
  for (const word of CREATE_WORDS) reader.skip(word);
  if (reader.skip('table')) {
    reader.skip('if', 'not', 'exists');
    return toAction('create_table', [reader.skipName()]);
  }
  if (!reader.skip('index')) return undefined;
  while (!reader.isAtEnd && !reader.skip('on')) reader.at++;
  reader.skip('only');
  return toAction('add_index', [reader.skipName()]);
}

function dropOf(reader: Reader): DdlAction | undefined {
  reader.skip('if', 'exists');
  const tables: (DdlTable | undefined)[] = [];
  while (!reader.isAtEnd && !reader.skip('cascade') && !reader.skip('restrict')) {
    tables.push(reader.skipName());
  }
  return reader.isAtEnd ? toAction('drop_table', tables) : undefined;
}

/** Several at once, or whatever else is done to columns, is an `alter_column`. */
function alterationOf(reader: Reader): DdlAction | undefined {
  const tables = [skipAltered(reader)];
  const first = reader.at;
  const isAdd = reader.skip('add');
  const isDrop = !isAdd && reader.skip('drop');
  const others = reader.rest.filter(({ isQuoted, depth }) => !isQuoted && depth === 0);
  // It may go to another schema so.
  if (others.some(({ text }) => text === 'schema')) return undefined;
  const isMore = others.some(({ text }) => ALTERING_WORDS.has(text));
  if (reader.at === first || isMore) return toAction('alter_column', tables);
  return toAction(isDrop ? 'drop_column' : 'add_column', tables);
}

const ALTERING_WORDS: ReadonlySet<string> = new Set(['add', 'drop', 'alter', 'modify', 'change']);

function toAction(
  type: MigrationType,
  tables: readonly (DdlTable | undefined)[],
): DdlAction | undefined {
  const named = tables.filter((table) => table !== undefined);
  return named.length === tables.length && named.length > 0 ? { type, tables: named } : undefined;
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

const CREATE_WORDS = ['temp', 'temporary', 'unlogged', 'unique'] as const;

function isPlain(statement: readonly Token[]): boolean {
  const [first] = statement;
  if (first === undefined) return true;
  if (first.isQuoted) return false;
  if (TRANSACTION_WORDS.has(first.text)) return true;
  const reader = new Reader(statement);
  if (reader.skip('create')) {
    for (const word of [...CREATE_WORDS, 'virtual']) reader.skip(word);
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
