/**
 * A note belongs to who made it, as its column `owner` says; others may not write to it. Whoever
 * makes one says that it is theirs, in the same transaction; of two at once the second is refused.
 */

import { type Change, type ChangeSet, defineHooks, judgeChanges, sameName } from 'sync-coordinator';

/** The owner that a transaction itself gives to a row. */
function newOwner({ changes }: ChangeSet, { pk }: Change) {
  const isSame = (other: Change) => other.pk.every((value, i) => value === pk[i]);
  for (const change of changes) {
    if (change.type !== 'column' || change.table !== 'notes' || !isSame(change)) continue;
    if (change.column === 'owner') return change.value;
  }
  return undefined;
}

export default defineHooks({
  name: 'row-ownership',
  serial: true,
  hooks: {
    onBeforeApplyChanges: ({ userId }, changeSets, { read }) =>
      judgeChanges(
        changeSets,
        async (change, changeSet) => {
          if (!sameName(change.table, 'notes')) return true;
          // Devices take both spellings for one table; here they would be two, each with its owners.
          if (change.table !== 'notes') return { reason: 'it is called notes', code: 'SPELLING' };
          const stored = await read.row(change);
          const owner = stored ? stored.values.owner : newOwner(changeSet, change);
          if (userId !== undefined && owner === userId) return true;
          return { reason: 'this note belongs to somebody else', code: 'NOT_OWNER' };
        },
        { read },
      ),
  },
});
