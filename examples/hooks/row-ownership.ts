/**
 * A note belongs to who made it, as its column `owner` says; others may not write to it. Whoever
 * makes one says that it is theirs, in the same transaction; of two at once the second is refused.
 */

import { type Change, defineHooks, judgeChanges, sameRow, spellingOf } from 'sync-coordinator';

const notes = { table: 'notes' };
const owners = { table: 'notes', column: 'owner' };
const notOwner = { reason: 'this note belongs to somebody else', code: 'NOT_OWNER' };

export default defineHooks({
  name: 'row-ownership',
  serial: true,
  hooks: {
    onBeforeApplyChanges: ({ userId }, changeSets, { read }) =>
      judgeChanges(
        changeSets,
        async (change, { changes }) => {
          const spelling = spellingOf(change, notes);
          if (spelling === 'none') return true;
          // Devices take all spellings for one; here each would be another table, another column.
          if (spelling === 'other' || spellingOf(change, owners) === 'other') {
            return { reason: 'it is called notes, and its column owner', code: 'SPELLING' };
          }
          const isTheirs = (owner: unknown) => userId !== undefined && owner === userId;
          const isOwner = (other: Change) => spellingOf(other, owners) === 'exact';
          // Nobody makes, or gives away, what another one then seems to have written.
          if (change.type === 'column' && isOwner(change) && !isTheirs(change.value))
            return notOwner;
          const stored = await read.row(change);
          if (stored) return isTheirs(stored.values.owner) || notOwner;
          // Of a new one the transaction says it, and goes with each owner that is not the user.
          return changes.some((other) => isOwner(other) && sameRow(other, change)) || notOwner;
        },
        { atomic: true, read },
      ),
  },
});
