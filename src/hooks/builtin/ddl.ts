/**
 * Who may change tables, and how: what no rule allows is rejected. Rules about rows don't see DDL, and a
 * table that is dropped or renamed takes its rows from under them.
 */

import { type Static, Type } from 'typebox';
import { MIGRATION_TYPES } from '../../wire/schemas.ts';
import type { SchemaMigration } from '../../wire/types.ts';
import { actionsOf, type DdlAction } from '../ddl-actions.ts';
import { defineHooks } from '../define-hooks.ts';
import { judgeChanges } from '../judge-changes.ts';
import { type TableMap, tableList } from '../table-list.ts';
import type { ClientIdentity } from '../types.ts';
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

/** A rule of the options, ready to be asked. */
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
        // What is allowed for a table is said of the name that it goes by.
        if (!hasDdl || isOtherName) return { approved: changeSets, rejected: [] };
        const own = allowances.filter(({ isAbout }) => isAbout(client));
        return judgeChanges(changeSets, () => true, {
          atomic,
          migration(migration) {
            const actions = actionsOf(migration.ddl);
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

function toAllowance({ users, claim, databases, types, tables }: Static<typeof Rule>): Allowance {
  // Who allows something allows no more than what is said: the same name in another schema is another table.
  const allowed =
    tables && tableList(tables.map((name) => (name.includes('.') ? name : `main.${name}`)));
  return {
    isAbout: (client) =>
      (users?.includes(client.userId ?? '') ?? true) &&
      (claim === undefined || hasClaim(client, claim)) &&
      (databases?.includes(client.databaseId ?? '') ?? true),
    allows(migration, actions) {
      if (types === undefined && allowed === undefined) return true;
      // A text that may do anything may do it to any table.
      if (actions === undefined) return false;
      const done = [...actions.map(({ type }) => type), migration.type];
      if (types !== undefined && !done.every((type) => types.includes(type))) return false;
      return allowed === undefined || isOfTables(migration, actions, allowed);
    },
  };
}

function isOfTables(
  { type, schema, table, fromTable = table }: SchemaMigration,
  actions: readonly DdlAction[],
  allowed: TableMap<true>,
): boolean {
  // An index has a name of its own: which table it is of stands in the text.
  const isOfIndex = type === 'add_index' || type === 'drop_index';
  const said = isOfIndex ? [] : [table, fromTable].map((name) => ({ schema, table: name }));
  const done = actions.flatMap(({ tables }) => tables);
  return [...said, ...done].every(
    (named) => allowed.get({ ...named, schema: named.schema ?? schema }) !== undefined,
  );
}
