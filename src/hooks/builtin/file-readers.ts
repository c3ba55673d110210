/**
 * Finds who else may read files with secrets. Not on Windows, where file modes do not show
 * permissions.
 */

import { stat } from 'node:fs/promises';

const ANY_OF_OTHERS = 0o007;
const ANY_OF_GROUP = 0o070;
const CHANGED_BY_GROUP = 0o020;
const ROOT = 0;

/**
 * Who may read or change a file with secrets besides its owner; `undefined` if that is only the
 * owner. The group of a file of root may read it as well: this is how a service gets a file that it
 * must not change.
 * @throws what `stat` does
 */
export async function readersOf(file: string): Promise<string | undefined> {
  const { mode, uid } = await stat(file);
  if (process.platform === 'win32') return undefined;
  if ((mode & ANY_OF_OTHERS) !== 0) return 'every user of this machine';
  const bits = uid === ROOT ? CHANGED_BY_GROUP : ANY_OF_GROUP;
  return (mode & bits) !== 0 ? 'the group of the file' : undefined;
}
