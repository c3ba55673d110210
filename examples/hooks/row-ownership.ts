/**
 * A note belongs to who made it, as its column `owner` says; others may not write to it. Whoever
 * makes one says that it is theirs, in the same transaction; of two at once the second is refused.
 */

import { type Change, defineHooks, judgeChanges, sameRow, spellingIn } from 'sync-coordinator';

const notOwner = { reason: 'this note belongs to somebody else', code: 'NOT_OWNER' };

export default defineHooks({
  name: 'row-ownership',
  serial: true,
  hooks: {
    onBeforeApplyChanges: ({ userId }, changeSets, { read }) =>
      judgeChanges(
        changeSets,
        async (change, { changes }) => {
          const notes = await spellingIn(read, change, { table: 'notes' });
          if (notes === 'none') return true;
          const owner = await spellingIn(read, change, { table: 'notes', column: 'owner' });
          // Devices take all spellings for one; here each would be another table, another column.
          if (notes === 'other' || owner === 'other') {
            return { reason: 'it is called notes, and its column owner', code: 'SPELLING' };
          }
          const isTheirs = (user: unknown) => userId !== undefined && user === userId;
          // Nobody makes, or gives away, what another one then seems to have written.
          if (change.type === 'column' && owner === 'exact' && !isTheirs(change.value))
            return notOwner;
          const stored = await read.row(change);
          if (stored) return isTheirs(stored.values.owner) || notOwner;
          // Of a new one the transaction says it, and goes with each owner that is not the user.
          const saysOwner = (to: Change) => to.type === 'column' && to.column === 'owner';
          return changes.some((to) => saysOwner(to) && sameRow(to, change)) || notOwner;
        },
        { atomic: true, read },
      ),
  },
});
