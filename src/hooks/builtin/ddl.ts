/**
 * Decides which clients may change tables, and how: DDL that no rule allows is rejected. Rules
 * about rows do not see DDL, so dropping or renaming a table would evade them.
 */

import { type Static, Type } from 'typebox';
import { MIGRATION_TYPES } from '../../protocol/constants.ts';
import type { SchemaMigration } from '../../protocol/types.ts';
import { type DdlAction, ddlToActions } from '../ddl/actions.ts';
import type { DdlTable } from '../ddl/scan.ts';
import { defineHooks } from '../define-hooks.ts';
import { TableMap } from '../names/table-list.ts';
import { foldSchema, sameName } from '../same-name.ts';
import type { ClientIdentity } from '../types.ts';
import { judgeChanges } from '../verdicts/judge-changes.ts';
import { Claim, hasClaim } from './claims.ts';

const Names = (description: string) =>
  Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description }));

const Rule = Type.Object(
  {
    users: Names('The `userId`s that it is about. Default: all clients.'),
    claim: Type.Optional({
      ...Claim,
      description: 'The clients that it is about have one of these.',
    }),
    databases: Names('The databases that it is about. Default: all.'),
    types: Type.Optional(Type.Array(Type.Enum(MIGRATION_TYPES), { minItems: 1 })),
    tables: Names(
      'The tables, as `table` (of the schema `main`) or `schema.table`, in whatever case. Default: all.',
    ),
    references: Names(
      'Further tables that foreign keys may refer to, which can keep rows there from being deleted. Default: those of `tables` alone.',
    ),
  },
  { additionalProperties: false },
);

const Options = Type.Object({
  allow: Type.Array(Rule, {
    default: [],
    description:
      'Who may do what: a migration is stored if one of these allows all of it. Each narrows by its `users`, `claim`, `databases`, `types` and `tables`, as far as it has them. Default: nobody may do anything.',
  }),
  atomic: Type.Boolean({
    default: true,
    description: 'Whether DDL that is rejected takes its whole transaction with it.',
  }),
});

export type DdlOptions = Partial<Static<typeof Options>>;

/** A compiled rule of the options. */
interface Allowance {
  isAbout(client: ClientIdentity): boolean;
  allows(migration: SchemaMigration, actions: readonly DdlAction[] | undefined): boolean;
}

export default defineHooks({
  name: 'ddl',
  options: Options,
  setup({ allow, atomic }) {
    const allowances = allow.map(toAllowance);
    return {
      onBeforeApplyChanges(client, changeSets, { isOtherName = false }) {
        const hasDdl = changeSets.some(({ schemaMigrations }) => schemaMigrations.length > 0);
        // Rules are about the current names of tables, not about former ones.
        if (!hasDdl || isOtherName) return { approved: changeSets, rejected: [] };
        const own = allowances.filter(({ isAbout }) => isAbout(client));
        return judgeChanges(changeSets, () => true, {
          atomic,
          migration(migration) {
            const actions = ddlToActions(migration.ddl);
            if (own.some(({ allows }) => allows(migration, actions))) return true;
            const { type, table } = migration;
            const reason = `this client may not do that: ${type} of ${table}, or what its text does`;
            return { reason, code: 'DDL_NOT_ALLOWED' };
          },
        });
      },
    };
  },
});

function toAllowance(rule: Static<typeof Rule>): Allowance {
  const { users, claim, databases, types, tables, references = [] } = rule;
  // A rule allows exactly what it names: the same name in another schema is another table.
  const allowed = tables && ofMain(tables);
  const referable = tables && ofMain([...tables, ...references]);
  return {
    isAbout: (client) =>
      (users?.includes(client.userId ?? '') ?? true) &&
      (claim === undefined || hasClaim(client, claim)) &&
      (databases?.includes(client.databaseId ?? '') ?? true),
    allows(migration, actions) {
      if (types === undefined && allowed === undefined) return true;
      // A text that is not understood may do anything to any table.
      if (actions === undefined) return false;
      const done = [...actions.map(({ type }) => type), migration.type];
      if (types !== undefined && !done.every((type) => types.includes(type))) return false;
      return (
        allowed === undefined ||
        referable === undefined ||
        isOfTables(migration, actions, allowed, referable)
      );
    },
  };
}

function ofMain(names: readonly string[]): TableMap<true> {
  return TableMap.of(names.map((name) => (name.includes('.') ? name : `main.${name}`)));
}

function isOfTables(
  migration: SchemaMigration,
  actions: readonly DdlAction[],
  allowed: TableMap<true>,
  referable: TableMap<true>,
): boolean {
  const { type, schema, table, fromTable = table } = migration;
  const isIn = (list: TableMap<true>) => (named: DdlTable) =>
    list.get({ ...named, schema: named.schema ?? schema }) !== undefined;
  // An action without a table may be of any table.
  const isDone = actions.every(
    ({ tables, references = [] }) =>
      tables.length > 0 && tables.every(isIn(allowed)) && references.every(isIn(referable)),
  );
  if (type === 'add_index' || type === 'drop_index') return isDone && isOfIndex(migration, actions);
  const said = [table, fromTable].map((name) => ({ schema, table: name }));
  return isDone && said.every(isIn(allowed));
}

/**
 * Whether the text is only about the index of the migration. The field `table` of such a migration
 * has the name of the index; only the text names the table.
 */
function isOfIndex({ table, schema }: SchemaMigration, actions: readonly DdlAction[]): boolean {
  const own = foldSchema(schema);
  const isIts = ({ index, tables }: DdlAction) =>
    index !== undefined &&
    sameName(index, table) &&
    tables.every((of) => (of.schema ?? own) === own);
  return actions.length > 0 && actions.every(isIts);
}
