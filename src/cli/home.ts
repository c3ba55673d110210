/**
 * A container may run as a user that no file knows, without `HOME`. Then Node.js can't say where its home is, and what asks
 * for that when it is imported fails.
 */

import { homedir } from 'node:os';

/** Where the system puts those who have none. */
const NOBODYS_HOME = '/';

export function ensureHome(): void {
  try {
    homedir();
  } catch {
    process.env.HOME = NOBODYS_HOME;
  }
}
