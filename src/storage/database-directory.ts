/**
 * Maps a database id to the name of its directory.
 *
 * Two ids never get the same name, not even on a case-insensitive disk, and names are valid on
 * every system. A name is `db-` (so that it is not hidden, `..`, or reserved like `con`) and the
 * id, with three replacements:
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
/** The beginning of a name that is too long, for people to recognise it. */
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
 * The id of a directory. If the name has only a hash of it: the name itself, which is no valid id.
 */
export function directoryNameToDatabaseId(name: string): string {
  if (name.includes('==')) return name;
  return name
    .slice('db-'.length)
    .replace(/=([a-z_-])/g, (_, mark: string) =>
      mark === '_' ? ':' : mark === '-' ? '.' : mark.toUpperCase(),
    );
}
