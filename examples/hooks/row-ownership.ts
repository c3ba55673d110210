/**
 * A note belongs to who made it, as its column `owner` says; others may not write to it. Whoever
 * makes one has to say that it is theirs, in the same transaction. (Two who make the same row at the
 * same moment both may: the newer owner wins, as with every column.)
 */

import { type ChangeSet, defineHooks, judgeChanges, type SqlValue } from 'sync-coordinator';

/** The owner that a transaction itself gives to a row. */
function newOwner({ changes }: ChangeSet, pk: readonly SqlValue[]): SqlValue | undefined {
  const isSame = (other: readonly SqlValue[]) => other.every((value, i) => value === pk[i]);
  for (const change of changes) {
    const names = change.type === 'column' && change.table === 'notes' && isSame(change.pk);
    if (names && change.column === 'owner') return change.value;
  }
  return undefined;
}

export default defineHooks({
  name: 'row-ownership',
  setup: (_options, { read }) => ({
    onBeforeApplyChanges: ({ userId, databaseId = '' }, changeSets) =>
      judgeChanges(changeSets, async ({ table, pk }, changeSet) => {
        if (table !== 'notes') return true;
        const stored = await read.row(databaseId, { table, pk });
        const owner = stored === undefined ? newOwner(changeSet, pk) : stored.values.owner;
        if (userId !== undefined && owner === userId) return true;
        return { reason: 'this note belongs to somebody else', code: 'NOT_OWNER' };
      }),
  }),
});
