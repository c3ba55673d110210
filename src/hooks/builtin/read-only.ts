/**
 * Makes databases, or tables of them, read-only: for all clients, or for those with or without a
 * certain claim.
 */

import { type Static, Type } from 'typebox';
import { SyncError } from '../../errors/sync-error.ts';
import { defineHooks } from '../define-hooks.ts';
import { TableMap } from '../names/table-list.ts';
import type { ClientIdentity } from '../types.ts';
import { judgeChanges, type Refusal } from '../verdicts/judge-changes.ts';
import { Claim, hasClaim } from './claims.ts';

const Names = (description: string) =>
  Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description }));

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
    const protectedTables = TableMap.of(tables);
    return {
      async onBeforeApplyChanges(client, changeSets) {
        const isConcerned =
          isReadOnlyFor(client, client.databaseId ?? '') &&
          (await protectedTables.areIn(changeSets));
        if (!isConcerned) return { approved: changeSets, rejected: [] };
        return judgeChanges(
          changeSets,
          (change) => (protectedTables.get(change) ? refuse(change.table) : true),
          // DDL that names the table as the new or the old one, or only in its text, is a write to
          // it.
          {
            migration: (migration) => {
              const table = protectedTables.findInMigration(migration);
              return table === undefined ? true : refuse(table);
            },
          },
        );
      },
    };
  },
});

function refuse(table: string): Refusal {
  return { reason: `${table} is read-only`, code: CODE };
}
