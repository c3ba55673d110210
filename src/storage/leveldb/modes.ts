/**
 * File modes: only the owner may read the data, whatever the umask. LevelDB creates its files by
 * the umask, so their directory keeps other users out. Windows has no such modes.
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
 * Finds a directory in `location` with this prefix that every user of the machine may enter.
 * Existing modes are only reported, never changed: another program may rely on them.
 */
export async function findOpenDirectory(
  location: string,
  prefix: string,
): Promise<string | undefined> {
  if (!(await isOpen(location))) return undefined;
  for (const entry of await readdir(location, { withFileTypes: true })) {
    const directory = path.join(location, entry.name);
    // It may have been removed meanwhile.
    if (!entry.isDirectory() || !entry.name.startsWith(prefix)) continue;
    if (await isOpen(directory).catch(() => false)) return directory;
  }
  return undefined;
}
