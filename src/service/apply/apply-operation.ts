/** Summarises a batch as the operation that `onAuthorize` is asked about. */

import type { MigrationSummary, SyncOperation } from '../../hooks/types.ts';
import type { WireChangeSet } from '../../protocol/schemas.ts';
import { weighChanges } from '../delivery/drain.ts';

export function toApplyOperation(
  databaseId: string,
  changeSets: readonly WireChangeSet[],
): SyncOperation {
  const changeCount = weighChanges(changeSets);
  const migrations = summarizeMigrations(changeSets);
  const operation = { type: 'apply_changes', databaseId, changeCount } as const;
  return migrations.length === 0 ? operation : { ...operation, migrations };
}

/** All modules get the same list, so it is frozen. */
function summarizeMigrations(changeSets: readonly WireChangeSet[]): readonly MigrationSummary[] {
  const migrations = changeSets.flatMap(({ schemaMigrations }) => schemaMigrations);
  return Object.freeze(
    migrations.map(({ type, schema, table, fromTable }) =>
      Object.freeze({ type, schema, table, ...(fromTable === undefined ? {} : { fromTable }) }),
    ),
  );
}
