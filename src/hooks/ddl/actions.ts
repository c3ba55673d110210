/**
 * Finds what a DDL text does when a device carries it out, as far as that is certain. It need not
 * be what the fields of its migration say.
 */

import type { MigrationType } from '../../protocol/constants.ts';
import { foldSchema } from '../same-name.ts';
import {
  type Parts,
  skipColumn,
  skipIndexed,
  skipList,
  skipTableConstraint,
  skipType,
  startsTableConstraint,
} from './columns.ts';
import { skipCondition, skipDefault, skipExpression } from './expressions.ts';
import { type DdlTable, Reader, Scan, type Token } from './scan.ts';

/** One action of a DDL text. */
export interface DdlAction {
  type: MigrationType;
  /** Both names for a rename; none for most drops of an index. */
  tables: readonly DdlTable[];
  /** Other tables that foreign keys refer to: those may keep rows there from being deleted. */
  references?: readonly DdlTable[];
  /** The name of an index. */
  index?: string;
  /** Whether it renames a table or a column, and keeps the values. */
  renames?: true;
  /** Whether it changes no rows, and refuses no later ones, except in a table that it makes. */
  isAdditive: boolean;
}

/**
 * The actions of a DDL text, in order; `undefined` if it may do anything else in some SQL engine.
 */
export function ddlToActions(ddl: string): readonly DdlAction[] | undefined {
  const { statements, isObscure, isOdd } = new Scan(ddl);
  if (isObscure || isOdd) return undefined;
  const actions: DdlAction[] = [];
  for (const statement of statements) {
    if (isIdle(statement)) continue;
    const action = actionOf(new Reader(statement));
    if (action === undefined) return undefined;
    actions.push(action);
  }
  return actions;
}

/**
 * Whether a text certainly only adds, within one schema: a table of the same name in another
 * schema, or a temporary one, could hide the existing table.
 */
export function addsOnly(ddl: string, schema: string): boolean {
  const own = foldSchema(schema);
  const actions = isTemporary(own) ? undefined : ddlToActions(ddl);
  return (
    actions?.every(
      ({ tables, isAdditive }) =>
        isAdditive && tables.every((table) => (table.schema ?? own) === own),
    ) ?? false
  );
}

function isTemporary(schema: string): boolean {
  return schema.startsWith('temp') || schema.startsWith('pg_temp');
}

/** Whether a statement does nothing to any table. */
function isIdle(statement: readonly Token[]): boolean {
  const reader = new Reader(statement);
  if (reader.skip('begin')) reader.skipAnyOf(TRANSACTION_KINDS);
  else if (reader.skipAnyOf(ENDINGS) === undefined) return reader.isAtEnd;
  reader.skip('transaction');
  return reader.isAtEnd;
}

const TRANSACTION_KINDS: ReadonlySet<string> = new Set(['deferred', 'immediate', 'exclusive']);
const ENDINGS: ReadonlySet<string> = new Set(['commit', 'end']);

/** `undefined` unless the whole statement is understood. */
function actionOf(reader: Reader): DdlAction | undefined {
  const action = readAction(reader);
  return reader.isAtEnd ? action : undefined;
}

function readAction(reader: Reader): DdlAction | undefined {
  if (reader.skip('create', 'table')) return readTable(reader);
  if (reader.skip('create', 'index')) return readIndex(reader, false);
  if (reader.skip('create', 'unique', 'index')) return readIndex(reader, true);
  if (reader.skip('drop', 'table')) return readDrop(reader);
  if (reader.skip('drop', 'index')) return readIndexDrop(reader);
  return reader.skip('alter', 'table') ? readAlteration(reader) : undefined;
}

function readTable(reader: Reader): DdlAction | undefined {
  reader.skip('if', 'not', 'exists');
  const table = reader.skipName();
  if (table === undefined) return undefined;
  const references: DdlTable[] = [];
  const isKnown = skipList(reader, () => {
    const isConstraint = startsTableConstraint(reader);
    const parts = isConstraint ? skipTableConstraint(reader) : skipColumn(reader);
    references.push(...(parts?.references ?? []));
    return parts !== undefined;
  });
  if (!isKnown) return undefined;
  do if (!reader.skip('strict')) reader.skip('without', 'rowid');
  while (reader.skip(','));
  const others = othersAmong(references, table);
  const isAdditive = others.length === 0;
  return { type: 'create_table', tables: [table], references: others, isAdditive };
}

function othersAmong(references: readonly DdlTable[], { schema, table }: DdlTable): DdlTable[] {
  return references.filter(
    (each) => each.table !== table || (each.schema !== undefined && each.schema !== schema),
  );
}

function readIndex(reader: Reader, isUnique: boolean): DdlAction | undefined {
  reader.skip('if', 'not', 'exists');
  // In some engines the schema of an index is also that of its table.
  const { schema, table: index } = reader.skipName() ?? {};
  if (index === undefined || !reader.skip('on')) return undefined;
  const named = reader.skipName();
  if (named === undefined || (schema !== undefined && (named.schema ?? schema) !== schema)) {
    return undefined;
  }
  const table = { schema: schema ?? named.schema, table: named.table };
  const start = reader.at;
  let isAdditive = !isUnique && skipIndexed(reader);
  if (!isAdditive) {
    reader.at = start;
    if (!skipIndexed(reader)) {
      reader.at = start;
      if (!skipExpression(reader)) return undefined;
    }
  }
  if (reader.skip('where')) {
    const condition = skipCondition(reader);
    if (condition === undefined) return undefined;
    isAdditive &&= condition.isComparison;
  }
  return { type: 'add_index', tables: [table], index, isAdditive };
}

function readDrop(reader: Reader): DdlAction | undefined {
  reader.skip('if', 'exists');
  const tables: DdlTable[] = [];
  do {
    const table = reader.skipName();
    if (table === undefined) return undefined;
    tables.push(table);
  } while (reader.skip(','));
  reader.skip('restrict');
  return { type: 'drop_table', tables, isAdditive: false };
}

/** Most engines need no table to drop an index. */
function readIndexDrop(reader: Reader): DdlAction | undefined {
  reader.skip('if', 'exists');
  const index = reader.skipName()?.table;
  const table = reader.skip('on') ? reader.skipName() : undefined;
  if (index === undefined) return undefined;
  return {
    type: 'drop_index',
    tables: table === undefined ? [] : [table],
    index,
    isAdditive: true,
  };
}

/** Several steps at once, and other steps on columns, are an `alter_column`. */
function readAlteration(reader: Reader): DdlAction | undefined {
  reader.skip('if', 'exists');
  reader.skip('only');
  const table = reader.skipName();
  if (table === undefined) return undefined;
  // Without a step it does nothing.
  if (reader.isAtEnd) return { type: 'add_column', tables: [table], isAdditive: true };
  if (reader.skip('rename', 'to')) {
    const to = reader.skipName();
    return to && { type: 'rename_table', tables: [table, to], renames: true, isAdditive: false };
  }
  const steps: Alteration[] = [];
  do {
    const step = readStep(reader);
    if (step === undefined) return undefined;
    steps.push(step);
  } while (reader.skip(','));
  const [first] = steps;
  const type = steps.length === 1 && first !== undefined ? first.type : 'alter_column';
  const references = othersAmong(
    steps.flatMap((step) => step.references),
    table,
  );
  const isAdditive = steps.every((step) => step.type === 'add_column' && !step.isRefusing);
  const renames = steps.some((step) => step.renames) && ({ renames: true } as const);
  return { type, tables: [table], references, isAdditive, ...renames };
}

interface Alteration extends Parts {
  type: MigrationType;
  renames?: true;
}

const ALTERED = { type: 'alter_column', references: [], isRefusing: true } as const;

function readStep(reader: Reader): Alteration | undefined {
  if (reader.skip('add')) return readAddition(reader);
  if (reader.skip('rename')) {
    reader.skip('column');
    const isKnown = reader.skipPart() !== undefined && reader.skip('to');
    const isRename = isKnown && reader.skipPart() !== undefined;
    return isRename ? { ...ALTERED, references: [], renames: true } : undefined;
  }
  if (reader.skip('drop')) {
    const isConstraint = reader.skip('constraint');
    if (!isConstraint) reader.skip('column');
    reader.skip('if', 'exists');
    if (reader.skipPart() === undefined) return undefined;
    const type = isConstraint ? 'alter_column' : 'drop_column';
    return { type, references: [], isRefusing: true };
  }
  return reader.skip('alter') ? readColumnAlteration(reader) : undefined;
}

function readAddition(reader: Reader): Alteration | undefined {
  if (!reader.next?.isQuoted && startsTableConstraint(reader)) {
    const parts = skipTableConstraint(reader);
    return parts && { type: 'alter_column', ...parts };
  }
  reader.skip('column');
  reader.skip('if', 'not', 'exists');
  const parts = skipColumn(reader);
  return parts && { type: 'add_column', ...parts };
}

function readColumnAlteration(reader: Reader): Alteration | undefined {
  reader.skip('column');
  if (reader.skipPart() === undefined) return undefined;
  const altered: Alteration = { ...ALTERED, references: [] };
  if (reader.skip('set', 'not', 'null') || reader.skip('drop', 'not', 'null')) return altered;
  if (reader.skip('drop', 'default')) return altered;
  if (reader.skip('set', 'default')) return skipDefault(reader) && altered;
  if (!reader.skip('set', 'data', 'type') && !reader.skip('type')) return undefined;
  return skipType(reader) ? altered : undefined;
}
