/** How much may be kept of what sites hold of rows since changes of theirs were refused: see `held-rows.ts`. */

import type { LimitName } from '../../errors/limit-names.ts';
import { SyncError } from '../../errors/sync-error.ts';

export interface HeldLimits {
  /** Most bytes for one site. */
  heldBytesPerSite: number;
  /** Most bytes for all sites of a database. */
  heldBytesPerDatabase: number;
}

export const UNLIMITED_HELD: HeldLimits = {
  heldBytesPerSite: Number.POSITIVE_INFINITY,
  heldBytesPerDatabase: Number.POSITIVE_INFINITY,
};

/**
 * Whether a batch of which something was refused makes more of it than there may be. What is not kept could not be
 * taken back for good, so the batch is refused: its author keeps it, and nothing differs of what was accepted.
 * @throws SyncError TOO_LARGE
 */
export function refuseHeldGrowth(
  held: { ofSite: number; ofAll: number },
  { heldBytesPerSite, heldBytesPerDatabase }: HeldLimits,
): void {
  const refuse = (limit: LimitName, most: number, whose: string): never => {
    const what = `what ${whose} to take back takes more than ${limit} (${most}) bytes`;
    throw new SyncError('TOO_LARGE', `changes are rejected, and ${what}`, { limit });
  };
  if (held.ofSite > heldBytesPerSite) {
    refuse('limits.heldBytesPerSite', heldBytesPerSite, 'this site has');
  }
  if (held.ofAll > heldBytesPerDatabase) {
    refuse('limits.heldBytesPerDatabase', heldBytesPerDatabase, 'all sites have');
  }
}
