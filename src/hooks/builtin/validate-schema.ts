/**
 * Checks what is written against a schema for each table, column by column: that is how changes
 * come. A value is judged as SQL has it: a big integer is an integer, and bytes are bytes.
 */

import { type Static, type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { toPlacedFault } from '../../wire/place.ts';
import type { SqlValue } from '../../wire/values.ts';
import { defineHooks } from '../define-hooks.ts';
import { type ChangeVerdict, judgeChanges } from '../judge-changes.ts';

const Options = Type.Object({
  tables: Type.Record(Type.String(), Type.Unknown(), {
    description:
      'By table (`table` or `schema.table`): a TypeBox or JSON Schema of its rows, an object whose properties are the columns.',
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

/** Says what is wrong with a column's value, if anything. */
type Check = (value: SqlValue) => string | undefined;

interface TableRules {
  checkByColumn: ReadonlyMap<string, Check>;
  /** Whether columns that the schema does not name may be written. */
  isOpen: boolean;
}

const CODE = 'SCHEMA';

export default defineHooks({
  name: 'validate-schema',
  options: Options,
  setup({ tables, unknownTables, atomic }) {
    const rulesByTable = new Map(
      Object.entries(tables).map(([table, schema]) => [table, toRules(table, schema)]),
    );
    return {
      onBeforeApplyChanges: (_client, changeSets) =>
        judgeChanges(
          changeSets,
          (change): ChangeVerdict => {
            const { schema, table } = change;
            const rules = rulesByTable.get(`${schema}.${table}`) ?? rulesByTable.get(table);
            if (rules === undefined) {
              return unknownTables === 'allow'
                ? true
                : { reason: `there is no table ${table}`, code: CODE };
            }
            if (change.type === 'delete') return true;
            const fault = faultOf(rules, change.column, change.value);
            return fault === undefined ? true : { reason: fault, code: CODE };
          },
          { atomic },
        ),
    };
  },
});

function faultOf(rules: TableRules, column: string, value: SqlValue): string | undefined {
  const check = rules.checkByColumn.get(column);
  if (check !== undefined) return check(value);
  return rules.isOpen ? undefined : `there is no column ${column}`;
}

/** @throws Error that names the table and the column */
function toRules(table: string, schema: unknown): TableRules {
  const properties: unknown = Reflect.get(Object(schema), 'properties');
  if (typeof properties !== 'object' || properties === null) {
    throw new Error(`the schema of table ${table} has no properties: they are its columns`);
  }
  const checkByColumn = new Map<string, Check>();
  for (const [column, columnSchema] of Object.entries(properties)) {
    try {
      checkByColumn.set(column, toCheck(columnSchema));
    } catch (cause) {
      const what = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`the schema of column ${table}.${column} is wrong: ${what}`, { cause });
    }
  }
  return { checkByColumn, isOpen: Reflect.get(Object(schema), 'additionalProperties') !== false };
}

/** JSON Schema's own way to say that a text stands for bytes. */
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
    // A big integer is a number to a schema of numbers: only its size is judged.
    const judged = typeof value === 'bigint' ? Number(value) : value;
    if (validator.Check(value) || validator.Check(judged)) return undefined;
    const [first = {}] = validator.Errors(judged);
    const { place, message } = toPlacedFault(first);
    return `${place.replace(/^\./, '')} ${message}`.trim();
  };
}
