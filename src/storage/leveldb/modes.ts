/**
 * Who may read what is kept on the disk: its owner, whatever the umask. LevelDB makes its files as the
 * umask says, so what keeps others out of them is their directory. Windows has no such modes.
 */

import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';

export const FILE_MODE = 0o600;
export const DIRECTORY_MODE = 0o700;

const ENTERED_BY_OTHERS = 0o001;

async function isOpen(directory: string): Promise<boolean> {
  const { mode } = await stat(directory);
  return process.platform !== 'win32' && (mode & ENTERED_BY_OTHERS) !== 0;
}

/**
 * A directory in `location`, whose name begins with `prefix`, that every user of the machine may
 * enter, if there is one. What is there already stays as it was made: somebody may rely on it.
 */
export async function findOpenDirectory(
  location: string,
  prefix: string,
): Promise<string | undefined> {
  if (!(await isOpen(location))) return undefined;
  for (const entry of await readdir(location, { withFileTypes: true })) {
    const directory = path.join(location, entry.name);
    // It may have gone meanwhile.
    if (!entry.isDirectory() || !entry.name.startsWith(prefix)) continue;
    if (await isOpen(directory).catch(() => false)) return directory;
  }
  return undefined;
}
