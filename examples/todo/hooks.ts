/**
 * What the coordinator is to know of this app: titles are texts of a sensible length, who has made a
 * task owns it, only its owner deletes it, and nobody says that somebody else is here.
 */

import { createHash } from 'node:crypto';
import { type Change, defineHooks, judgeChanges } from 'sync-coordinator';
import { USERS } from './users.ts';

const TITLE_LENGTH_MAX = 200;

/** By what the token whitelist calls them. */
const namesByUserId: ReadonlyMap<string, string> = new Map(
  USERS.map(({ name, token }) => {
    const hash = createHash('sha256').update(token).digest('hex');
    return [`token:${hash.slice(0, 8)}`, name] as const;
  }),
);

function judgeTitle(value: unknown) {
  if (typeof value !== 'string' || value.trim() === '') {
    return { reason: 'A title must not be empty.', code: 'TITLE_EMPTY' };
  }
  if (value.length > TITLE_LENGTH_MAX) {
    const reason = `A title has at most ${TITLE_LENGTH_MAX} characters.`;
    return { reason, code: 'TITLE_TOO_LONG' };
  }
  return true;
}

/** @param owner of the row that is stored, if there is one */
function judge(change: Change, user: unknown, owner: unknown) {
  if (!['lists', 'tasks', 'devices'].includes(change.table)) {
    return { reason: `There is no table ${change.table}.`, code: 'NO_SUCH_TABLE' };
  }
  const isOthers = owner !== undefined && owner !== null && owner !== user;
  const notYours = {
    reason: `This belongs to ${owner}, who alone may do that.`,
    code: 'NOT_OWNER',
  };
  if (change.type === 'delete') return isOthers ? notYours : true;
  if (change.table === 'devices') return isOthers ? notYours : judgeOwner(change, user);
  if (change.column === 'title') return judgeTitle(change.value);
  if (change.column === 'owner') return isOthers ? notYours : judgeOwner(change, user);
  return true;
}

function judgeOwner(change: Change, user: unknown) {
  const isOwner = change.type === 'column' && change.column === 'owner';
  if (!isOwner || change.value === user) return true;
  return { reason: `You are ${user}, and nobody else.`, code: 'NOT_YOU' };
}

export default defineHooks({
  name: 'todo',
  // One batch after the other: nothing changes between the look at a row and the write.
  serial: true,
  hooks: {
    onAuthenticated: ({ userId = '' }) => ({ metadata: { name: namesByUserId.get(userId) } }),
    onBeforeApplyChanges: ({ metadata }, changeSets, { read }) =>
      judgeChanges(
        changeSets,
        async (change) => {
          const stored = await read.row(change);
          return judge(change, metadata?.name, stored?.values.owner);
        },
        // What was written together is refused together.
        { atomic: true, read },
      ),
  },
});
