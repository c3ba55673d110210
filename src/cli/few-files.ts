/** Refuses to begin where so few files may be open that Node.js could not import the program. */

import { openFilesMax } from '../service/databases/open-files.ts';

/** What importing all of it, with a configuration and hook modules in TypeScript, has open at once. */
const FILES_MIN = 192;

export function refuseFewFiles(): void {
  const filesMax = openFilesMax();
  if (filesMax === undefined || filesMax >= FILES_MIN) return;
  process.stderr.write(
    `sync-coordinator: this process may open ${filesMax} files, which is too few to start: raise its limit to ${FILES_MIN} or more (ulimit -n, LimitNOFILE in systemd)\n`,
  );
  process.exit(1);
}
