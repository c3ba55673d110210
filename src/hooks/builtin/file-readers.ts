/** Who may read files that hold secrets, beside their owner. Windows has other permissions, and shows all files as open. */

import { stat } from 'node:fs/promises';

const ANY_OF_OTHERS = 0o007;
const ANY_OF_GROUP = 0o070;
const CHANGED_BY_GROUP = 0o020;
const ROOT = 0;

/**
 * Who may read, or change, a file with secrets besides its owner; `undefined` if nobody. A file of root's may be
 * for its group to read as well: so it is given to a service that must not change it.
 * @throws what `stat` does
 */
export async function readersOf(file: string): Promise<string | undefined> {
  const { mode, uid } = await stat(file);
  if (process.platform === 'win32') return undefined;
  if ((mode & ANY_OF_OTHERS) !== 0) return 'every user of this machine';
  const bits = uid === ROOT ? CHANGED_BY_GROUP : ANY_OF_GROUP;
  return (mode & bits) !== 0 ? 'the group of the file' : undefined;
}
