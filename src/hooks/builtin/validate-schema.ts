/**
 * Checks changes by a schema for each table, column by column, as changes come. Values are checked
 * as SQL values: a big integer is an integer, and bytes are bytes.
 */

import { type Static, type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { SchemaMigration } from '../../protocol/types.ts';
import type { SqlValue } from '../../protocol/values.ts';
import { ddlToActions } from '../ddl/actions.ts';
import { defineHooks } from '../define-hooks.ts';
import { TableMap } from '../names/table-list.ts';
import { foldName, sameName } from '../same-name.ts';
import { type ChangeVerdict, judgeChanges, type Refusal } from '../verdicts/judge-changes.ts';

const Options = Type.Object({
  tables: Type.Record(Type.String(), Type.Unknown(), {
    description:
      'By table (`table` or `schema.table`, in whatever case): a TypeBox or JSON Schema of its rows, an object whose properties are the columns.',
  }),
  unknownTables: Type.Enum(['allow', 'reject'] as const, {
    default: 'allow',
    description: 'What becomes of changes to other tables.',
  }),
  atomic: Type.Boolean({
    default: true,
    description: 'Whether a change that is rejected takes its whole transaction with it.',
  }),
});

export interface ValidateSchemaOptions extends Partial<Omit<Static<typeof Options>, 'tables'>> {
  tables: Record<string, TSchema | Record<string, unknown>>;
}

/** @returns what is wrong with a column's value; `undefined` for a valid one */
type Check = (value: SqlValue) => string | undefined;

interface TableRules {
  /** The schema as text, to compare those of two tables. */
  text: string;
  /** Names are in lower case, since SQL ignores their case. */
  checkByColumn: ReadonlyMap<string, Check>;
  /** Whether columns that the schema does not name may be written. */
  isOpen: boolean;
}

const CODE = 'SCHEMA';

export default defineHooks({
  name: 'validate-schema',
  options: Options,
  setup({ tables, unknownTables, atomic }) {
    const rulesByTable = new TableMap(
      Object.entries(tables).map(([table, schema]) => [table, toRules(table, schema)] as const),
    );
    return {
      async onBeforeApplyChanges(_client, changeSets, { isOtherName = false }) {
        // A table has to be listed only under the name that the client used.
        const isClosed = unknownTables === 'reject' && !isOtherName;
        const isConcerned = isClosed || (await rulesByTable.areIn(changeSets));
        if (!isConcerned) return { approved: changeSets, rejected: [] };
        return judgeChanges(
          changeSets,
          (change): ChangeVerdict => {
            const rules = rulesByTable.get(change);
            if (rules === undefined) return isClosed ? refuse(noTable(change.table)) : true;
            if (change.type === 'delete') return true;
            const fault = faultOf(rules, change.column, change.value);
            return fault === undefined ? true : refuse(fault);
          },
          {
            atomic,
            migration: (migration) => {
              const fault = faultOfDdl(migration, rulesByTable, isClosed);
              return fault === undefined ? true : refuse(fault);
            },
          },
        );
      },
    };
  },
});

function refuse(reason: string): Refusal {
  return { reason, code: CODE };
}

function noTable(table: string): string {
  return `there is no table ${table}`;
}

/**
 * What is wrong with a migration. DDL could bring unchecked rows into a table: by renaming one with
 * another schema, or by a text that does more than the migration's type and names say.
 */
function faultOfDdl(
  migration: SchemaMigration,
  rulesByTable: TableMap<TableRules>,
  isClosed: boolean,
): string | undefined {
  const { type, schema, table, fromTable, ddl } = migration;
  const isOfIndex = type === 'add_index' || type === 'drop_index';
  const rules = isOfIndex ? undefined : rulesByTable.get({ schema, table });
  const before = fromTable === undefined ? rules : rulesByTable.get({ schema, table: fromTable });
  if (type === 'rename_table' && before?.text !== rules?.text) {
    return `${fromTable} and ${table} have not the same schema`;
  }
  const hasRules = rules !== undefined || before !== undefined;
  if (isClosed && !hasRules && !isOfIndex) return noTable(table);
  const named = rulesByTable.findInDdl(ddl);
  if (!hasRules && named === undefined) return undefined;
  if (type === 'rename_table') {
    const isItself = isRenameOf(ddl, fromTable ?? table, table);
    return isItself ? undefined : `its text does not rename ${fromTable} to ${table}, or does more`;
  }
  if (!hasRules && !isOfIndex) return `its text names ${named}, which is not its table`;
  if (isPlainDdl(ddl)) return undefined;
  return `its text does more to ${hasRules ? table : named} than to define it`;
}

/** Whether a text only renames a table. */
function isRenameOf(ddl: string, from: string, to: string): boolean {
  const [action, ...others] = ddlToActions(ddl) ?? [];
  if (action?.type !== 'rename_table' || others.length > 0) return false;
  const [before, after] = action.tables.map(({ table }) => table);
  return sameName(before ?? '', from) && sameName(after ?? '', to);
}

/** Whether a text only makes, changes or drops tables and indexes, and renames nothing. */
function isPlainDdl(ddl: string): boolean {
  return ddlToActions(ddl)?.every(({ renames }) => renames === undefined) ?? false;
}

function faultOf(rules: TableRules, column: string, value: SqlValue): string | undefined {
  const check = rules.checkByColumn.get(foldName(column));
  if (check !== undefined) return check(value);
  return rules.isOpen ? undefined : `there is no column ${column}`;
}

/** @throws Error, which names the table and the column */
function toRules(table: string, schema: unknown): TableRules {
  const properties: unknown = Reflect.get(Object(schema), 'properties');
  if (typeof properties !== 'object' || properties === null) {
    throw new Error(`the schema of table ${table} has no properties: they are its columns`);
  }
  const checkByColumn = new Map<string, Check>();
  for (const [column, columnSchema] of Object.entries(properties)) {
    try {
      checkByColumn.set(foldName(column), toCheck(columnSchema));
    } catch (cause) {
      const what = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`the schema of column ${table}.${column} is wrong: ${what}`, { cause });
    }
  }
  const text = JSON.stringify(schema);
  return {
    text,
    checkByColumn,
    isOpen: Reflect.get(Object(schema), 'additionalProperties') !== false,
  };
}

/** Whether a schema is for bytes, as JSON Schema expresses that. */
function isBytesSchema(schema: unknown): boolean {
  return Reflect.get(Object(schema), 'contentEncoding') === 'base64';
}

function toCheck(schema: unknown): Check {
  if (typeof schema !== 'boolean' && (typeof schema !== 'object' || schema === null)) {
    throw new Error('it is no schema');
  }
  const validator = Compile(schema as TSchema);
  const isBytes = isBytesSchema(schema);
  return (value) => {
    if (value instanceof Uint8Array) return isBytes ? undefined : 'must not be bytes';
    if (isBytes && typeof value === 'string') return 'must be bytes';
    // A schema of numbers checks a big integer as a number, by its size.
    const judged = typeof value === 'bigint' ? Number(value) : value;
    if (validator.Check(value) || validator.Check(judged)) return undefined;
    const [fault] = validator.Errors(judged);
    return `${toPlace(fault?.instancePath ?? '')} ${fault?.message ?? 'is wrong'}`.trim();
  };
}

/** Converts a JSON pointer to a place as in JavaScript: `[3].name`. */
function toPlace(pointer: string): string {
  const steps = pointer.split('/').slice(1);
  const place = steps.map((step) => (/^[0-9]+$/.test(step) ? `[${step}]` : `.${step}`)).join('');
  return place.replace(/^\./, '');
}
