/**
 * Keeps databases, or tables of them, from being written: by everybody, or by those whose
 * identity has a certain claim, or has not.
 */

import { type Static, Type } from 'typebox';
import { SyncError } from '../../errors.ts';
import type { ChangeSet, RejectedChange } from '../../wire/types.ts';
import { defineHooks } from '../define-hooks.ts';
import { judgeChanges } from '../judge-changes.ts';
import { type TableMap, tableList } from '../table-list.ts';
import type { ClientIdentity } from '../types.ts';

const Names = (description: string) =>
  Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description }));

const Claim = Type.Object(
  {
    name: Type.String({ minLength: 1 }),
    values: Type.Array(Type.Union([Type.String(), Type.Number(), Type.Boolean()]), {
      minItems: 1,
    }),
  },
  { additionalProperties: false },
);

const Options = Type.Object({
  databases: Names('The databases that are read-only. Default: all.'),
  tables: Names(
    'The tables that are, as `table` or `schema.table`, in whatever case. Default: all.',
  ),
  claim: Type.Optional({
    ...Claim,
    description: 'Whom they are read-only for: clients with one of these values. Default: all.',
  }),
  unless: Type.Optional({
    ...Claim,
    description: 'Whom they are not read-only for, in spite of the above.',
  }),
});

export type ReadOnlyOptions = Static<typeof Options>;

const CODE = 'READ_ONLY';

export default defineHooks({
  name: 'read-only',
  options: Options,
  setup({ databases, tables, claim, unless }) {
    const isReadOnlyFor = (client: ClientIdentity, databaseId: string): boolean =>
      (databases?.includes(databaseId) ?? true) &&
      (claim === undefined || hasClaim(client, claim)) &&
      !(unless !== undefined && hasClaim(client, unless));

    if (tables === undefined) {
      return {
        onAuthorize(client, operation) {
          if (operation.type !== 'apply_changes') return true;
          if (!isReadOnlyFor(client, operation.databaseId)) return true;
          throw new SyncError('NOT_AUTHORIZED', 'this client may only read this database');
        },
      };
    }
    const protectedTables = tableList(tables);
    return {
      async onBeforeApplyChanges(client, changeSets) {
        if (!isReadOnlyFor(client, client.databaseId ?? '')) {
          return { approved: changeSets, rejected: [] };
        }
        const { approved, rejected } = await judgeChanges(changeSets, (change) =>
          protectedTables.get(change)
            ? { reason: `${change.table} is read-only`, code: CODE }
            : true,
        );
        return withoutDdl(approved, rejected, protectedTables);
      },
    };
  },
});

/** DDL that changes a table, under its name, from it, or by its text alone, is a write to it. */
function withoutDdl(
  changeSets: readonly ChangeSet[],
  rejected: readonly RejectedChange[],
  protectedTables: TableMap<true>,
) {
  const refused: RejectedChange[] = [];
  const approved = changeSets.map((changeSet) => ({
    ...changeSet,
    schemaMigrations: changeSet.schemaMigrations.filter((migration) => {
      const table = protectedTables.findInMigration(migration);
      if (table === undefined) return true;
      refused.push({ table: migration.table, reason: `${table} is read-only`, code: CODE });
      return false;
    }),
  }));
  return { approved, rejected: [...rejected, ...refused] };
}

/** Claims are those of a JWT, or what another hook put into `metadata` itself. */
function hasClaim({ metadata = {} }: ClientIdentity, { name, values }: Static<typeof Claim>) {
  const claims: unknown = metadata.claims;
  const holders = [claims, metadata].filter((holder) => Object.hasOwn(Object(holder), name));
  const [holder] = holders;
  if (holder === undefined) return false;
  const value: unknown = Reflect.get(Object(holder), name);
  const held: readonly unknown[] = Array.isArray(value) ? value : [value];
  return values.some((wanted) => held.includes(wanted));
}
