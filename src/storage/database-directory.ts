/**
 * Database id → the name of its directory.
 *
 * Two ids never get one name, on a case-insensitive disk neither, and a name is
 * valid on every system. Names are `db-` (so that none is hidden, reserved like
 * `con`, or `..`) and the id, in which three things are written otherwise:
 *
 *     A–Z          `=a` … `=z`
 *     :            `=_`
 *     . at the end `=-`     (Windows would drop it)
 *
 * A name that would become too long ends in `==` and the SHA-256 of the id;
 * `==` occurs in no other name.
 */

import { createHash } from 'node:crypto';

const NAME_CHARACTERS_MAX = 200;
/** What is kept of a name that is too long, for people to recognise it by. */
const KEPT_CHARACTERS = 120;

export function databaseIdToDirectoryName(databaseId: string): string {
  const name = `db-${databaseId
    .replace(/[A-Z]/g, (letter) => `=${letter.toLowerCase()}`)
    .replaceAll(':', '=_')
    .replace(/\.$/, '=-')}`;
  if (name.length <= NAME_CHARACTERS_MAX) return name;
  const hash = createHash('sha256').update(databaseId).digest('hex');
  return `${name.slice(0, KEPT_CHARACTERS)}==${hash}`;
}

/**
 * The id that a directory stands for; the name itself, which is no id, where it holds but a hash of it.
 */
export function directoryNameToDatabaseId(name: string): string {
  if (name.includes('==')) return name;
  return name
    .slice('db-'.length)
    .replace(/=([a-z_-])/g, (_, mark: string) =>
      mark === '_' ? ':' : mark === '-' ? '.' : mark.toUpperCase(),
    );
}
