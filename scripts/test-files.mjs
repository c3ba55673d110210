/** Which files hold tests, and which of the two runs each belongs to: its name says so. */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Of `npm test`: what a developer waits for after each change. */
export const LOOP = '.test.ts';
/** Of `npm run proof`: what starts commands, databases or installations, or takes long. */
export const PROOF = '.proof.ts';

/**
 * Node's own globs need a later Node than the oldest that is supported.
 * @param paths files, which are taken whatever their names, and directories
 * @param suffix what is taken from the directories
 */
export function findTests(paths, suffix) {
  return paths.flatMap((path) => {
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [path];
    return readdirSync(path, { recursive: true })
      .filter((name) => name.endsWith(suffix))
      .map((name) => join(path, name))
      .sort();
  });
}
